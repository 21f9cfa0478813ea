"""What `kdray --help` shows: the commands by what they are for, and one example of each that needs no network."""

from collections.abc import Mapping

GROUPS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "start": {
        "doctor": ("check this machine: versions, GPU, memory, models, data", "kdray doctor"),
        "settings": ("every setting of a run file: type, default, meaning", "kdray settings train"),
        "methods": ("the methods, their signals and sources", "kdray methods"),
    },
    "data": {
        "corpora": ("the named corpora, and which of them are here", "kdray corpora"),
        "prune": ("remove sentences of low importance", "kdray prune recipes/sample.yaml --show 3 --engine local"),
    },
    "train": {
        "run": ("prune, teach, outputs, distill", "kdray run recipes/sample.yaml method.temperature=4"),
        "teach": ("fine-tune the teachers", "kdray teach recipes/sample.yaml"),
        "outputs": ("cache the teachers' outputs for every row", "kdray outputs recipes/sample.yaml"),
        "distill": ("distill one student", "kdray distill recipes/sample.yaml method.name=finetune"),
        "evaluate": ("score student, teachers and majority class", "kdray evaluate recipes/sample.yaml"),
    },
    "search": {
        "sweep": ("search, then train the best on several seeds", "kdray sweep sweeps/sample.yaml --smoke"),
        "compare": ("train named settings on the same seeds", "kdray compare sweeps/methods.yaml --smoke"),
        "trial": ("train one trial of a sweep again", "kdray trial NAME 3"),
        "best": ("the best trial of a sweep, and its student", "kdray best NAME --export student"),
    },
    "ship": {
        "export": ("a bundle that is proven to agree with a student", "kdray export student --out bundle"),
        "predict": ("predict the rows of files", "kdray predict bundle new.parquet -o labels.parquet"),
        "serve": ("serve a classifier over HTTP", "kdray serve bundle --port 8000"),
        "bench": ("latency, throughput, size and memory", "kdray bench student bundle --seconds 1"),
    },
    "look": {
        "papers": ("tables of the papers, and the commands that run them", "kdray papers"),
        "report": ("HTML and Markdown pages for everything in a store", "kdray report store"),
        "store": ("list, measure, verify and clean a store", "kdray store ls store"),
    },
}  # fmt: skip
COMMANDS = {name: about for group in GROUPS.values() for name, about in group.items()}


def overview() -> str:
    """The help of `kdray`, on one screen."""
    lines = ["kdray COMMAND ...: distill large text classifiers into small fast ones", ""]
    for group, commands in GROUPS.items():
        for number, (name, (what, _)) in enumerate(commands.items()):
            lines.append(f"{group if number == 0 else '':<7} {name:<9} {what}")
    lines += ["kdray COMMAND --help has an example. A first run: kdray run recipes/sample.yaml"]
    return "\n".join(lines) + "\n"
