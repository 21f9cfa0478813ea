"""The page of one pruned corpus."""

from kdray.report import table_origin
from kdray.report.markup import Html, tag
from kdray.report.page import banner, contents, corpus_facts, corpus_title, key_figures, page, provenance, section
from kdray.report.schema import PruneResult
from kdray.report.tables import facts
from kdray.report.words import count, share


def prune_page(result: PruneResult) -> Html:
    """The whole document."""
    corpus, record = result["corpus"], result.get("prune")
    assert record is not None, "checked before"
    named = corpus_title(corpus["name"], is_sample=corpus["is_sample"], note=corpus.get("note"))
    title = f"{named}: pruned by {record['policy']}"
    fell = record["units"] - record["kept"]
    kind = "sentences" if record["level"] == "sentence" else "rows"
    sections = [
        section("Pruning", table_origin.prune(record)),
        section("Corpus and settings", corpus_facts(corpus), table_origin.settings(result)),
        section(
            "How to read this page",
            facts(
                [
                    (
                        "Importance",
                        "What a unit says: its TF-IDF vector's sum or mean (prune.score), scaled to 0..1.",
                    ),
                    (
                        "Threshold",
                        "Units below it fall, unless they stand for a cluster or are the last of their kind.",
                    ),
                ]
            ),
        ),
    ]
    return page(
        title,
        tag("header", tag("h1", title), provenance(result), banner(corpus)),
        tag(
            "p", f"{share(fell / record['units'] if record['units'] else None)} of the {kind} fell.", class_="headline"
        ),
        key_figures([("units", count(record["units"])), ("kept", count(record["kept"])), ("level", record["level"])]),
        contents(sections),
        tag("main", [content for _, content in sections]),
    )
