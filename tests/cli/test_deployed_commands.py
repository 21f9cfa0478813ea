"""`kdray predict` and `kdray serve`."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
import tiny

from kdray.cli.main import main


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain folder of transformers."""
    folder = tmp_path_factory.mktemp("deployed") / "model"
    return tiny.save_fine_tuned(folder, tiny.classifier(seed=1), tiny.LABELS)


def test_predict_writes_a_file_and_prints_the_counts(model, tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text('{"review": "good film"}\n{"review": null}\n')
    command = ["predict", str(model), str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.csv")]
    assert main([*command, "--column", "text=review", "--json"]) == 0
    (counts,) = json.loads(capsys.readouterr().out)["files"]
    assert counts == {"file": "out.csv", "rows": 2, "rejected": 1, "abstained": 0, "truncated": 0, "written": 1}
    assert (tmp_path / "out.csv").read_text().splitlines()[0].startswith('"review","prediction","confidence"')
    for source, out in (("in.jsonl", "again.csv"), ("rows", "made")):
        (tmp_path / "rows").mkdir(exist_ok=True)
        (tmp_path / "rows" / "again.csv").write_text("review,n\ngood film,1\n,2\n")
        place = ["predict", str(model), str(tmp_path / source), "-o", str(tmp_path / out)]
        assert main([*place, "--column", "text=review"]) == 0
        side = tmp_path / (out if out == "again.csv" else "made/again.csv")
        assert capsys.readouterr().out.endswith(f"rejected rows and their reasons are in {side}.rejected.jsonl\n")
        assert side.with_name("again.csv.rejected.jsonl").is_file()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--column", "review"], "--column review: give FIELD=COLUMN"),
        (["--column", "text=a", "--column", "text=b"], "the column of text is given twice"),
        (["--suffix", ".csv"], "is one file; give the name of the new file its suffix"),
        (["--engine", "ray"], "is one file: Ray shares the files of a folder"),
        ([], "in.jsonl: there is no such file"),
    ],
)
def test_predict_refuses_what_it_cannot_do(model, tmp_path, capsys, more, said):
    command = ["predict", str(model), str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.csv")]
    assert main([*command, *more]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("given", ["2", "-0.1", "nan", "half"])
@pytest.mark.parametrize("command", [["predict", "a-model", "in.csv", "-o"], ["export", "a-student", "--out"]])
def test_a_threshold_is_a_number_from_0_to_1(capsys, command, given):
    with pytest.raises(SystemExit, match="2"):
        main([*command, "out.csv", f"--abstain-below={given}"])
    assert f"--abstain-below: expected a number from 0 to 1, found '{given}';" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--port", "70000"], "--port 70000: it must be 0 to 65535"),
        (["--workers", "0"], "--workers 0: it must be 1 or more"),
        (["--host", "192.0.2.1"], "assign requested address); give another --host."),
        (["--queue-rows", "4"], "queue_rows = 4 is below texts = 1024"),
        (["--batch-rows", "0"], "--batch-rows 0: expected 1 or more"),
    ],
)
def test_serve_refuses_bad_numbers(model, capsys, more, said):
    assert main(["serve", str(model), *more]) == 2
    assert said in capsys.readouterr().err


def test_serve_refuses_a_port_that_is_taken(model, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", str(model), "--port", str(taken.getsockname()[1])]) == 2
    assert "this machine cannot listen there (Address already in use); give another --port." in capsys.readouterr().err


@pytest.mark.slow
def test_serve_answers_on_loopback_and_ends_with_what_it_began(model):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "kdray.cli", "serve", str(model), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            deadline = time.monotonic() + 120
            while not answers(port, "/healthz"):
                assert server.poll() is None, server.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.2)
            found = answers(port, "/predict", b'{"texts": ["good film", "bad"]}')
            assert [each["label"] in tiny.LABELS for each in found["predictions"]] == [True, True]
            sockets = psutil.Process(server.pid).net_connections(kind="inet")
            assert {each.laddr for each in sockets if each.status == psutil.CONN_LISTEN} == {("127.0.0.1", port)}
        finally:
            server.terminate()
            _, log = server.communicate(timeout=60)
    assert server.returncode in (0, -15), log
    assert "Finished server process" in log


def answers(port, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.URLError:
        return None
