"""Settings of the corpus."""

import difflib
from typing import Annotated, Literal

from pydantic import Field as Setting
from pydantic import field_validator, model_validator

from kdray.corpora.tasks import LANGUAGE, TASKS, UNLABELED, Field
from kdray.errors import ConfigError
from kdray.origin import full_name
from kdray.records import Name, Settings
from kdray.tasks import Task, check_metric, get_task, tags_of

# The role combinations that have a meaning: what is pruned, and against what.
_ROLES = {("body",), ("body", "body"), ("pair", "pair"), ("context", "query"), ("query", "context")}
_OWN_COLUMNS = ("label", "id")


class Fold(Settings):
    """One of several folds of train and validation, whose rows are the validation split.

    Attributes:
        index: which one; the first is 0.
        of: how many there are.
    """

    index: Annotated[int, Setting(ge=0, le=99)]
    of: Annotated[int, Setting(ge=2, le=100)]

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "Fold":
        if self.index >= self.of:
            raise ValueError(f"index = {self.index} must be below of = {self.of}: the first fold is 0")
        return self


class CorpusSettings(Settings):
    """Which corpus, and how it is read.

    Attributes:
        name: a named task, `sample`, `folder` (the user's own files), `auto`, which `resolve_auto` replaces, or a
            function with the decorator `kdray.corpora.corpus` as `module:function` or `file.py:function`.
        path: the folder with `train` and `test` (or `validation`) as .parquet, .csv or .jsonl; only with `folder`.
        columns: field name, `label` or `id` to the column that holds it; a name that is left out is the column itself.
        fields: the texts of a row and their roles; left out, a single text column is the `body`.
        skip_empty: rows of a file without a text (or without a token) are left out, with a note of how many; else the
            first of them is an error. A pair needs both texts.
        labels: class names in class order; a file may hold these names or the class numbers (-1: no label). Where a
            name is a number, but not its own position, such as in 1 to 5, a file holds names.
        task: what is learned from the labels: `single_label`, `multi_label` (a list of labels a row, or names joined
            by ";"), `regression` (a number a row; needs no `labels`), `token_classification` (a list of tokens and a
            list of tags a row; `labels` are the entity types), or one of your own as `module:NAME` or `file.py:NAME`.
        tags: an `I-` that continues no entity is an error (`strict`), or becomes its `B-`, with a note (`mend`).
        metrics: in place of the task's own; the first one is selected on. One of your own is named `module:function`
            or `file.py:function`.
        validation_fraction: the part of train held out as validation, in (0, 0.5]. None takes the task's own: 10 %
            (5 % for ag_news, 20 % for imdb).
        group_by: a field; rows of train with the same text there are all selected on or all trained on. None takes the
            task's own: none but the sample's, whose hypotheses stand in two rows each. `host:FIELD` keeps the URLs of a
            host together (the last two labels of its name).
        group_phrases: whether a row of train whose text is part of the text of other rows is on the side of the longest
            of these. The text is that of `group_by`, or the only field. None takes the task's own: true for sst2.
        split_seed: decides which rows `validation_fraction`, `limit` and `fold` take.
        language_field: the column with the language of each row, by which scores are shown too. None takes the task's
            own: that of sib200, umsab and panx.
        train_languages: only rows of these are trained and selected on; scores on the other splits are of all.
        limit: use only this many rows of train, a stratified sample, for smoke runs.
        fold: in place of `validation_fraction`: train and validation are pooled and split into `of` folds, stratified
            by class and with groups kept together; fold `index` is the validation split. `folds` of a sweep sets it.
    """

    name: str = "auto"
    path: Name | None = None
    columns: dict[str, str] = Setting(default_factory=dict[str, str])
    fields: tuple[Field, ...] = ()
    skip_empty: bool = False
    labels: tuple[str, ...] = ()
    task: str = "single_label"
    tags: Literal["strict", "mend"] = "strict"
    metrics: tuple[str, ...] = ()
    validation_fraction: Annotated[float, Setting(gt=0, le=0.5)] | None = None
    group_by: str | None = None
    group_phrases: bool | None = None
    split_seed: Annotated[int, Setting(ge=0, le=4_294_967_295)] = 0
    language_field: Name | None = None
    train_languages: tuple[Name, ...] = ()
    limit: Annotated[int, Setting(ge=1, le=1_000_000_000)] | None = None
    fold: Fold | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is a function from outside of kdray, whose settings are checked when it is read."""
        return ":" in self.name

    @property
    def has_languages(self) -> bool:
        """Whether the language of rows counts."""
        return self.language_field is not None or (self.name in TASKS and TASKS[self.name].language is not None)

    @property
    def label(self) -> str:
        """The name in short, for names in the store."""
        return self.name.rpartition(":")[2]

    @field_validator("task", "metrics")
    @classmethod
    def _in_full(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """Those from outside with the hash of their source."""
        try:
            return full_name(given, "task") if isinstance(given, str) else tuple(full_name(m, "metric") for m in given)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _name_is_known(self) -> "CorpusSettings":
        allowed = (*TASKS, "folder", "auto")
        if self.name not in allowed and not self.is_own:
            near = difflib.get_close_matches(self.name, allowed, n=1)
            hint = f"the nearest is {near[0]}" if near else "kdray corpora lists the names"
            raise ValueError(
                f"name = {self.name} is unknown; {hint}; for your own files "
                "set name = folder and path (recipes/own.yaml is an example); in Python there is Dataset.from_files"
            )
        return self

    @model_validator(mode="after")
    def _folder_settings_only_with_folder(self) -> "CorpusSettings":
        if self.name == "folder":
            if self.path is None:
                raise ValueError("name = folder needs path: the folder that holds train and test files")
            kind = self._kind()
            if kind.outputs and self.labels:
                raise ValueError(f"labels = {list(self.labels)} has no effect: task {kind.name} has none; leave it out")
            least, what = (1, "entity types") if kind.target == "tags" else (2, "class names")
            if not kind.outputs and len(self.labels) < least:
                needed = "one or more" if least == 1 else "two or more"
                raise ValueError(f"name = folder needs labels: {needed} {what}, found {len(self.labels)}")
            self._check_tags(kind)
            return self
        for key in ("path", "columns", "fields", "skip_empty", "labels", "task", "tags"):
            if getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True):
                raise ValueError(f"{key} is used only with name = folder, but name = {self.name}")
        return self

    def _check_tags(self, kind: Task) -> None:
        if kind.target != "tags":
            if self.tags != "strict":
                raise ValueError(f"tags = {self.tags} has no effect: task {kind.name} has no tags; leave it out")
            return
        if len(self.fields) > 1:
            raise ValueError(f"fields has {len(self.fields)} entries, but task {kind.name} reads one list of tokens")
        if self.group_by is not None:
            raise ValueError(f"group_by = {self.group_by} needs texts, but task {kind.name} has tokens; leave it out")
        try:
            tags_of(self.labels)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _validation_settings_have_an_effect(self) -> "CorpusSettings":
        task = TASKS.get(self.name)
        if task is not None and (idle := self.idle_on(self.name, task.validation_split)):
            raise ValueError(idle)
        return self

    def idle_on(self, corpus: str, validation_split: str | None) -> str | None:
        """The first setting without effect on a corpus that has such a split, as a sentence; None if all have one."""
        if validation_split is None:
            return None
        official = f"{corpus} has a {validation_split} split for selection"
        for name in ("validation_fraction", "group_by", "group_phrases"):
            if (value := getattr(self, name)) is not None:
                return f"{name} = {value} has no effect: {official}; leave it out"
        if self.fold is not None:
            return f"fold cannot be set: {official}, which is not pooled with train; leave it out"
        if self.split_seed and self.limit is None:
            return f"split_seed = {self.split_seed} has no effect: {official}; leave it out"
        return None

    @model_validator(mode="after")
    def _fold_is_in_place_of_a_fraction(self) -> "CorpusSettings":
        if self.fold is not None and self.validation_fraction is not None:
            raise ValueError(
                f"validation_fraction = {self.validation_fraction} has no effect where fold is set; leave one out"
            )
        return self

    @model_validator(mode="after")
    def _languages_are_there(self) -> "CorpusSettings":
        if self.train_languages and not self.has_languages:
            raise ValueError(
                f"train_languages = {list(self.train_languages)}, but the rows of {self.name} have no language; name "
                "its column with language_field"
            )
        if self.language_field is not None and self.language_field in {*self.columns.values(), "label", "id"}:
            raise ValueError(f"language_field = {self.language_field} is a column of something else already")
        if self.language_field is not None and LANGUAGE in (each.name for each in self.fields):
            raise ValueError(f"a field cannot be named {LANGUAGE} where language_field is set; rename it with columns")
        return self

    @model_validator(mode="after")
    def _fields_make_sense(self) -> "CorpusSettings":
        names = [each.name for each in self.fields]
        if len(set(names)) < len(names) or set(names) & set(_OWN_COLUMNS):
            raise ValueError(f"fields are named {names}; names must differ and be neither label nor id")
        roles = tuple(each.role for each in self.fields)
        if roles and roles not in _ROLES:
            allowed = "; ".join(" + ".join(each) for each in sorted(_ROLES))
            raise ValueError(f"fields have the roles {' + '.join(roles)}, allowed are {allowed}")
        return self

    @model_validator(mode="after")
    def _columns_make_sense(self) -> "CorpusSettings":
        known = {each.name for each in self.fields} | set(_OWN_COLUMNS)
        unknown = sorted(set(self.columns) - known)
        if self.fields and unknown:
            raise ValueError(f"columns maps {unknown[0]}, which is not a field; allowed are {', '.join(sorted(known))}")
        if len(set(self.columns.values())) < len(self.columns):
            raise ValueError(f"columns maps two names to one column: {self.columns}")
        return self

    @model_validator(mode="after")
    def _labels_are_unambiguous(self) -> "CorpusSettings":
        if len(set(self.labels)) < len(self.labels) or not all(name.strip() for name in self.labels):
            raise ValueError(f"labels = {list(self.labels)}: class names must differ and not be empty")
        if str(UNLABELED) in self.labels:
            raise ValueError(f"labels = {list(self.labels)}: {UNLABELED} cannot be a class, it marks rows without one")
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"metrics = {list(self.metrics)} names one metric twice")
        return self

    @model_validator(mode="after")
    def _metrics_are_known(self) -> "CorpusSettings":
        for name in () if self.is_own else self.metrics:
            try:
                check_metric(name, self._kind())
            except ConfigError as error:
                raise ValueError(f"metrics: {error}") from error
        return self

    @property
    def main_metric(self) -> str:
        """The metric that models are selected on."""
        if self.is_own:
            from kdray.corpora.own import own_corpus  # imports this module

            return (self.metrics or (own_corpus(self.name).settings.main_metric,))[0]
        named = TASKS[self.name].metrics if self.name in TASKS else self._kind().metrics
        return (self.metrics or named)[0]

    def _kind(self) -> Task:
        try:
            return get_task(TASKS[self.name].kind if self.name in TASKS else self.task)
        except ConfigError as error:
            raise ValueError(f"task: {error}") from error

    @model_validator(mode="after")
    def _f1_has_two_classes(self) -> "CorpusSettings":
        labels = TASKS[self.name].labels if self.name in TASKS else self.labels
        if "f1" in self.metrics and len(labels) > 2:
            raise ValueError(f"metrics has f1, which is for two classes, but there are {len(labels)}; use macro_f1")
        return self
