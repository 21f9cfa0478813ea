"""Pages that are made when the site is built, and links that lead out of docs/: a hook of mkdocs.

README, the cluster guide, CONTRIBUTING and CHANGELOG become pages of the site. One page a method is made from the head
of its file and from its settings record; one page is made from all settings, one from the help of the commands, one
from the docstrings.
"""

import json
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import kdray  # noqa: E402
from kdray.api.listing import method_example  # noqa: E402
from kdray.config.reference import Setting, settings  # noqa: E402
from kdray.methods import METHODS, Method  # noqa: E402
from kdray.origin import default_name  # noqa: E402

COPIED = {
    "README.md": "index.md",
    "cluster/README.md": "cluster-guide.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
HEADS = ("Source", "Formula", "Needs", "Refuses", "Defaults", "Differs from the source")
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)")
MORE = (  # what extensions are written with
    *("kdray.methods.contract.Method", "kdray.methods.contract.Batch", "kdray.methods.contract.LossTerm"),
    *("kdray.models.architecture.Architecture", "kdray.models.network.Network", "kdray.pruning.policies.PruningPolicy"),
    *("kdray.pruning.pruner.Pruner", "kdray.tasks.task.Task", "kdray.tasks.metrics.metric", "kdray.corpora.own.corpus"),
    *("kdray.engines.choice.Local", "kdray.engines.choice.Ray", "kdray.testing", "kdray.functional"),
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    for section in config.nav or []:
        if "Methods" in section:
            section["Methods"] += [{default_name(each): f"methods/{default_name(each)}.md"} for each in METHODS]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    made = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in COPIED.items()}
    made |= {f"methods/{default_name(each)}.md": method_page(each) for each in METHODS}
    made |= {"settings.md": settings_page(), "reference.md": reference_page(), "commands.md": commands_page()}
    made |= {
        f"notebooks/{each.stem}.md": notebook_page(each) for each in sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
    }
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = page.file.src_uri
    source = next((source for source, copy in COPIED.items() if copy == here), f"docs/{here}")
    if here.startswith(("methods/", "notebooks/")):
        return markdown
    if here == "methods.md":
        markdown = re.sub(r"^\| `(\w+)` \| (?=.*\|.*\|.*\|.*\|$)", _linked, markdown, flags=re.MULTILINE)
    blocks = re.split(r"(```.*?```)", markdown, flags=re.DOTALL)
    blocks[::2] = [LINK.sub(lambda link: _moved(link, source), text) for text in blocks[::2]]
    return "".join(blocks)


def _linked(row: re.Match[str]) -> str:
    known = row[1] in {default_name(each) for each in METHODS}
    return f"| [`{row[1]}`](methods/{row[1]}.md) | " if known else row[0]


def _moved(link: re.Match[str], source: str) -> str:
    """The same link where the target is a page of the site; the words alone where it is another file of the project."""
    image, words, path, anchor = link.groups(default="")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if not (ROOT / target).exists() and not target.startswith("docs/"):
        return link[0]  # mkdocs reports it
    if target.startswith("docs/"):
        page = re.sub(r"\.ipynb$", ".md", target.removeprefix("docs/"))  # see notebook_page
        return f"{image}[{words}]({page}{anchor})"
    return f"[{words}]({COPIED[target]}{anchor})" if target in COPIED else words


def head_of(method: type[Method]) -> tuple[str, dict[str, str]]:
    """The first sentence of a method's file, and its headings."""
    text = (sys.modules[method.__module__].__doc__ or "").strip()
    title, _, rest = text.partition("\n\n")
    parts = re.split(rf"^({'|'.join(HEADS)}): ", rest, flags=re.MULTILINE)
    return title, {name: value.rstrip() for name, value in zip(parts[1::2], parts[2::2], strict=True)}


def method_page(method: type[Method]) -> str:
    title, head = head_of(method)
    name = default_name(method)
    lines = [f"# {name}", f"**{method.title}.** {title}", f"Status: {method.status}."]
    for heading, text in head.items():
        lines.append(f"## {heading}")
        lines.append(
            f"```text\n{_dedented(text)}\n```" if heading == "Formula" else _decided(_dedented(_sentence(text)))
        )
    own = [each for each in settings(f"method.{name}") if each.of == name]
    lines += ["## Settings", table(own) if own else "None."]
    lines += ["## Use", f"```sh\n{method_example(method)}\n```"]
    lines.append(
        f"In Python: `kd.methods.{method.__name__}()`. The page [Methods](../methods.md) compares all methods."
    )
    return "\n\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())


def _decided(text: str) -> str:
    """With links to the decisions (D1 and so on)."""
    return re.sub(r"\bD(\d+)\b", r"[D\1](../decisions.md)", text.replace("*", r"\*"))


def table(rows: list[Setting]) -> str:
    cells = [
        [f"`{row.key}`", _cell(row.type), f"`{row.default}`" if row.default else "none", _cell(row.meaning)]
        for row in rows
    ]
    lines = [["setting", "type", "default", "meaning"], ["---"] * 4, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def notebook_page(notebook: Path) -> str:
    """The cells of a notebook, without outputs."""
    lines: list[str] = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        lines.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    lines.append(f"This is the notebook `docs/notebooks/{notebook.name}` of the project.")
    return "\n\n".join(lines) + "\n"


def settings_page() -> str:
    lines = [
        "# Settings",
        "Every setting of a run file, made from the records that read it. `kdray settings PREFIX` prints the same, for "
        "example `kdray settings train` or `kdray settings method.kd`. On a command line, write `key=value`.",
    ]
    every = settings()
    for section in dict.fromkeys(each.key.partition(".")[0] for each in every):
        own = [each for each in every if each.key.partition(".")[0] == section]
        lines += [f"## {section}", table([each for each in own if not each.of])]
        for of in dict.fromkeys(each.of for each in own if each.of):
            lines += [f"### {section}: {of}", table([each for each in own if each.of == of])]
    return "\n\n".join(lines) + "\n"


def commands_page() -> str:
    from kdray.cli.main import helps

    lines = ["# Commands", "The help of every command, as it prints it."]
    for name, text in helps().items():
        lines += [f"## {name}", f"```text\n{text.rstrip()}\n```"]
    return "\n\n".join(lines) + "\n"


def reference_page() -> str:
    lines = ["# API reference", "Made from the docstrings. [Python API](api.md) is the introduction."]
    places: dict[str, Any] = {**kdray._ATTRIBUTES}  # pyright: ignore[reportPrivateUsage]
    for name, module in places.items():
        if module.startswith("kdray.api"):
            lines.append(_documented(f"{module}.{name}", f"kd.{name}"))
    lines += [_documented(path, path if path.count(".") == 1 else _short(path)) for path in MORE]
    return "\n\n".join(lines) + "\n"


def _short(path: str) -> str:
    """Where it is imported from: `kdray.tasks.metric` of `kdray.tasks.metrics.metric`."""
    parts = path.split(".")
    return ".".join(["kd", parts[1], parts[-1]])


def _documented(path: str, heading: str) -> str:
    return (
        f"::: {path}\n    options:\n      heading: {heading}\n      inherited_members: {path.startswith('kdray.api.')}"
    )
