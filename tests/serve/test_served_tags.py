"""Tags of words: files of lists of tokens, and requests with tokens or texts."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tagged
import uvicorn
from fastapi.testclient import TestClient

import kdray as kd
from kdray.errors import ConfigError
from kdray.export import predict
from kdray.serve import files
from kdray.serve.app import body_of, make_app
from kdray.serve.files import Counts, Options, predict_file
from kdray.serve.loading import open_scorer
from kdray.serve.server import run
from kdray.serve.settings import ServeSettings

ROWS = [tagged.sentence(number)["tokens"] for number in range(8)] + [["good"] * 31, [], ["\u200b"]]


def write(path, rows, **more):
    table = pa.table({"id": [f"r{i}" for i in range(len(rows))], "tokens": rows, **more})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_bundle_and_the_student_it_was_made_of_give_equal_scores(tagger, tag_bundle):
    ours, theirs = open_scorer(tagger), open_scorer(tag_bundle)
    rows = [theirs.check([row]) for row in ROWS]
    found, wanted = theirs.score(rows), ours.score(rows)
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-5)
    assert found.truncated.tolist() == wanted.truncated.tolist() == [len(row) > 30 for row in ROWS]
    assert found.values.shape == (len(ROWS), 31, 5)


@pytest.mark.parametrize("target", ["out.parquet", "out.jsonl"])
@pytest.mark.parametrize("source", ["in.parquet", "in.jsonl"])
def test_files_get_tags_and_entities_beside_their_rows(tagger, tag_bundle, tmp_path, monkeypatch, source, target):
    monkeypatch.setattr(files, "PART_ROWS", 3)  # several parts, of other numbers of words
    path = write(tmp_path / source, ROWS)
    counts = kd.predict_files(tag_bundle, path, tmp_path / target)
    assert counts == {target: Counts(rows=len(ROWS), truncated=1)}
    found = read(tmp_path / target)
    assert [(row["id"], row["tokens"]) for row in found] == [(f"r{i}", row) for i, row in enumerate(ROWS)]
    assert list(found[0]) == ["id", "tokens", "tags", "entities"]
    assert [len(row["tags"]) for row in found] == [len(row) for row in ROWS]
    assert found[-1]["tags"] == ["O"]  # a word without a token
    entities = kd.Student.load(tagger).predict([row for row in ROWS if row])
    plain = [[{k: v for k, v in e.items() if k != "confidence"} for e in row["entities"]] for row in found]
    assert [row for row, words in zip(plain, ROWS, strict=True) if words] == entities
    script = [sys.executable, str(tag_bundle / "predict.py")]
    lines = "".join(json.dumps({"tokens": row}) + "\n" for row in ROWS)
    done = subprocess.run(script, input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [json.loads(line)["tags"] for line in done] == [row["tags"] for row in found]


def test_rows_that_hold_no_tokens_go_to_a_side_file(tagger, tmp_path):
    lines = ['{"tokens": ["a"]}', '{"tokens": "a film"}', '{"tokens": ["a", 1]}', '{"tokens": ["a", ""]}', '{"x": 1}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    counts = predict_file(open_scorer(tagger), tmp_path / "in.jsonl", tmp_path / "out.jsonl", Options())
    assert (counts.rows, counts.rejected) == (5, 4)
    side = [json.loads(line) for line in (tmp_path / "out.jsonl.rejected.jsonl").read_text().splitlines()]
    assert [(each["line"], each["reason"]) for each in side] == [
        (2, "'tokens' is \"a film\", not a list of tokens"),
        (3, "'tokens' is [\"a\", 1], not a list of tokens"),
        (4, "'tokens' has '' at position 1 (the first is 0), not a token"),
        (5, "the list 'tokens' is missing"),
    ]


def test_a_csv_and_a_threshold_are_refused_in_one_sentence(tagger, tmp_path):
    (tmp_path / "in.csv").write_text("tokens\na film\n")
    scorer, path = open_scorer(tagger), write(tmp_path / "in.parquet", ROWS)
    with pytest.raises(ConfigError, match=r"in\.csv: a CSV file cannot hold lists of tokens; save the rows as \.parq"):
        predict_file(scorer, tmp_path / "in.csv", tmp_path / "out.jsonl", Options())
    with pytest.raises(ConfigError, match=r"^--abstain-below has no effect on tags; leave it out\.$"):
        predict_file(scorer, path, tmp_path / "out.jsonl", Options(abstain_below=0.5))
    with pytest.raises(ConfigError, match=r"has a column 'tags' already, which the prediction would have; rename it"):
        predict_file(scorer, write(tmp_path / "b.parquet", ROWS, tags=ROWS), tmp_path / "out.jsonl", Options())
    assert not list(tmp_path.glob("*out*"))


@pytest.fixture(scope="module")
def client(tag_bundle):
    with TestClient(make_app(open_scorer(tag_bundle), ServeSettings(texts=4, characters=150))) as client:
        yield client


def test_tokens_and_texts_get_tags_and_entities(client, tagger, tag_bundle):
    found = client.post("/predict", json={"tokens": ROWS[:4]}).json()["predictions"]
    script = predict.load(tag_bundle).predict(ROWS[:4])
    wanted = [[{k: v for k, v in e.items() if k != "confidence"} for e in each["entities"]] for each in script]
    assert [each["tags"] for each in found] == [each["tags"] for each in script]
    assert wanted == kd.Student.load(tagger).predict(ROWS[:4])
    assert any(wanted)
    for ours, theirs in zip(found, script, strict=True):
        assert ours["entities"] == [
            {**e, "confidence": pytest.approx(e["confidence"], abs=1e-5)} for e in theirs["entities"]
        ]
        assert set(ours) == {"tags", "entities", "truncated"}
    assert client.post("/predict", json={"tokens": ROWS[0]}).json()["predictions"] == found[:1]
    text = "the (very) good film."
    (ours,) = client.post("/predict", json={"texts": text}).json()["predictions"]
    assert ours["tokens"] == ["the", "(", "very", ")", "good", "film", "."]
    assert len(ours["tags"]) == 7
    assert all(text[each["start"] : each["end"]] == each["text"] for each in ours["entities"])
    assert client.post("/predict", json={"texts": [text, ""]}).json()["predictions"][1] == {
        "tags": [],
        "tokens": [],
        "entities": [],
        "truncated": False,
    }
    assert client.post("/predict", json={"tokens": []}).json() == {"predictions": []}
    assert client.post("/predict", json={"tokens": ["film"] * 31}).json()["predictions"][0]["truncated"]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"{}", 422, 'give tokens or texts, one of both: send {"tokens": [["..."]]}.'),
        (b'{"tokens": [["a"]], "texts": "a"}', 422, "give tokens or texts, one of both"),
        (b'{"tokens": "a film"}', 422, 'tokens is no list of tokens: send {"tokens": [["..."]]}'),
        (b'{"tokens": [["a"], [1]]}', 422, "tokens[1] is no list of tokens: send"),
        (b'{"tokens": ["a", 1]}', 422, "tokens[1] is no list of tokens: send"),
        (
            b'{"tokens": [["a"], ["a", ""]]}',
            422,
            "tokens[1]: 'tokens' has '' at position 1 (the first is 0), not",
        ),
        (b'{"texts": [["a", "b"]]}', 422, "texts[0] is neither a text nor a list of texts: send"),
        (b'{"texts": ["\\ud800"]}', 422, "half of a surrogate pair"),
        (b'{"tokens": [["' + b"a" * 151 + b'"]]}', 413, "tokens[0] has 151 characters, but a text may have 150"),
        (b'{"x": 1}', 422, "the key 'x' is unknown: send {\"tokens\""),
    ],
)
def test_hostile_bodies_get_a_clear_answer(client, content, status, said):
    answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


def test_a_service_of_tags_refuses_a_threshold(tagger, monkeypatch):
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: pytest.fail("it listens"))
    with pytest.raises(ConfigError, match=r"^--abstain-below has no effect on tags; leave it out\.$"):
        run(str(tagger), host="127.0.0.1", port=0, workers=1, threads=1, settings=ServeSettings(abstain_below=0.5))


def test_the_interface_and_the_first_request_show_tokens(client, tagger):
    assert client.get("/").json()["paths"]["POST /predict"] == 'predictions for {"tokens": [["..."]]}'
    assert "tokens" in client.get("/openapi.json").json()["components"]["schemas"]["Words"]["properties"]
    assert body_of(open_scorer(tagger), "a text") == {"tokens": [["a", "text"]]}
