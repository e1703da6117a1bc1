"""The rewriter: what a rewritten text may not change, and where its answers come from and are kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data_recipes import arrow, command, mixture_table, ontology
from data_recipes.arrow import Settings
from data_recipes.rewriter import ASK, KEY, Endpoint, LocalModel, Rewriter, changed, writer_of
from data_recipes.schema import ImageRef, RecipeError, Record, Target, Turn
from data_recipes.units import Source
from tests import public_sets
from tests.tiny_language import tiny_base

SAME = (
    ("Show me the left hippocampus", "Could you outline the left hippocampus?"),
    ("show the L HC", "Please mark the left hippocampus."),
    ("both hippocampi", "Both hippocampi, please"), ("L/R hippocampus", "L/R hippocampus?"),
    ("Zeig mir die linke Niere", "Wo ist die linke Niere?"), ("Montre-moi le foie", "Où est le foie ?"),
    ("¿Dónde está el bazo?", "Muéstrame el bazo"), ("请分割左侧海马", "左侧海马在哪里？"),
    ("is the left kidney smaller than the right kidney?", "The left kidney: is it smaller than the right kidney?"),
    ("everything except the liver", "All of it except the liver"), ("how big is m2?", "What does m2 measure?"),
    ("no, it is 5.2 mL", "No, it measures 5.2 mL"), ("unicorn?", "Do you see a unicorn?"),
)  # fmt: skip
CHANGED = (
    ("Show me the left hippocampus", "Show me the right hippocampus", "structures"),
    ("Show me the left hippocampus", "Show me the hippocampus", "structures"),
    ("Show me the liver", "Show me the spleen", "structures"), ("unicorn?", "Do you see a dragon?", "structures"),
    ("Show me the liver", "Show me the liver and the spleen", "structures"),
    ("now the right one", "now the left one", "side"), ("now the right one", "now that one", "side"),
    ("Zeig mir die linke Niere", "Zeig mir die rechte Niere", "structures"),
    ("Montre-moi le rein gauche", "Montre-moi le rein droit", "structures"),
    ("¿Dónde está el riñón izquierdo?", "¿Dónde está el riñón derecho?", "structures"),
    ("左侧海马在哪里？", "右侧海马在哪里？", "structures"),
    ("it is 5.2 mL", "it is 5.3 mL", "number"), ("it is 5.2 mL", "it is about five", "number"),
    ("how big is m2?", "how big is m3?", "mask id"), ("how big is m2?", "how big is it?", "mask id"),
    ("everything except the liver", "everything and the liver", "negation"),
    ("is the liver not there?", "is the liver there?", "negation"),
    ("Ist die Leber nicht zu sehen?", "Ist die Leber zu sehen?", "negation"),
    ("Le foie n'est pas visible ?", "Le foie est visible ?", "negation"),
    ("¿Sin el hígado?", "¿El hígado?", "negation"), ("没有肝脏吗？", "有肝脏吗？", "negation"),
    ("is the liver smaller than the spleen?", "is the liver larger than the spleen?", "comparison"),
    ("is the liver smaller than the spleen?", "is the spleen smaller than the liver?", "comparison"),
    ("and both?", "and that?", "comparison"), ("the first one", "the second one", "comparison"),
    ("Show me the liver", "", "nothing written"), ("liver", "liver " * 30, "too long"),
    ("Show me the liver", "<SEG> Show me the liver", "markup"),
    ("Show me the liver", "Show me the liver<|im_end|>", "markup"),
)  # fmt: skip


@pytest.mark.parametrize(("original", "rewritten"), SAME)
def test_the_same_in_other_words_passes(original, rewritten):
    assert changed(original, rewritten, ["unicorn"]) == ""


@pytest.mark.parametrize(("original", "rewritten", "why"), CHANGED)
def test_a_changed_target_side_number_or_denial_is_found(original, rewritten, why):
    assert changed(original, rewritten, ["unicorn"]) == why


def test_another_structure_is_found_in_every_language():
    """Every taught structure by one of its names in each language: the text itself passes, its other side does not."""
    sided = [s for s in ontology.taught("brain") if s.side == "left"]
    assert len(sided) > 5
    for structure in sided:
        other = ontology.by_name()[structure.name.replace("left", "right", 1)]
        for language in ontology.LANGUAGES:
            names = structure.translations[language][:1], other.translations[language][:1]
            if names[0] and names[1]:
                text, wrong = f"{names[0][0]}?", f"{names[1][0]}?"
                assert changed(text, text) == ""
                assert changed(text, wrong) != "", (text, wrong)


@dataclass
class Server:
    """An endpoint made here: it answers with what `says` makes of a message, and remembers what it was asked."""

    says: dict[str, str] = field(default_factory=dict)
    asked: list[dict] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    status: int = 200
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.asked.append(body)
            state.keys.append(self.headers.get("Authorization", ""))
            text = body["messages"][-1]["content"]
            reply = {"choices": [{"message": {"content": state.says.get(text, f'"{text} please"')}}]}
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_port}/v1"
        yield state
        running.shutdown()
        thread.join()


def record(*questions: str, targets=("left hippocampus",)) -> Record:
    reply = "".join(f"<p>{p}</p><SEG>" for p in targets) + " It is there."
    messages = [m for q in questions for m in (Turn("user", q, image=True), Turn("assistant", reply))]
    return Record(
        "r", (ImageRef("x.nii.gz", "MR"),), "l.nii.gz", tuple(messages),
        tuple(Target(p, True, (1,)) for _ in questions for p in targets), "brain", "show", "measured", "", "train",
        "p", 0,
    )  # fmt: skip


def test_an_endpoint_rewrites_questions_alone_and_what_fails_the_check_stays(server, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    server.says = {"the left hippocampus?": "“Where is the left hippocampus?”", "how big?": "how big is the liver?"}
    rewriter = Rewriter(Endpoint(server.url, "some-model"), tmp_path / "cache.jsonl")
    before = record("the left hippocampus?", "how big?")
    (after,) = rewriter.records([before])
    assert [m.content for m in after.messages[::2]] == ["Where is the left hippocampus?", "how big?"]
    assert after.messages[1::2] == before.messages[1::2]
    assert after.messages[0].image
    assert after.targets == before.targets
    assert after.rewritten == ("rewritten", "kept: structures")
    assert after.provenance == "measured; questions rewritten by some-model"
    assert dict(rewriter.told) == {"rewritten": 1, "kept: structures": 1}
    assert {b["model"] for b in server.asked} == {"some-model"}
    assert all(b["messages"][0] == {"role": "system", "content": ASK} for b in server.asked)
    assert set(server.keys) == {"Bearer secret"}
    table = mixture_table.lines(mixture_table.counts([("x", after)]))
    assert any("kept: structures" in line for line in table)
    assert Record.from_json(after.to_json()) == after


def test_answers_are_kept_on_disk_and_asked_for_once(server, tmp_path):
    cached = tmp_path / "cache.jsonl"
    questions = [record(q + "the left hippocampus?") for q in ("", "", "how big is ")]
    first = Rewriter(Endpoint(server.url, "a"), cached).records(questions)
    assert len(server.asked) == 2
    assert Rewriter(Endpoint(server.url, "a"), cached).records(questions) == first
    assert len(server.asked) == 2
    with cached.open("a", encoding="utf-8") as out:
        out.write('{"asked": "half a li')  # killed while writing
    assert Rewriter(Endpoint(server.url, "a"), cached).records(questions) == first
    assert cached.read_text(encoding="utf-8").count("\n") == 2
    Rewriter(Endpoint(server.url, "another model"), cached).records(questions)
    assert len(server.asked) == 4
    cached.write_text("no cache\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="no cache of a rewriter"):
        Rewriter(Endpoint(server.url, "a"), cached)


def test_an_endpoint_that_fails_is_named_and_what_it_gave_before_is_kept(server, tmp_path):
    rewriter = Rewriter(Endpoint(server.url, "a"), tmp_path / "cache.jsonl", batch=1)
    rewriter.records([record("the left hippocampus?")])
    server.status = 503
    with pytest.raises(RecipeError, match=r"gave no rewritten text .*503.*check the address"):
        rewriter.records([record("measure the left hippocampus")])
    server.status = 200
    again = Rewriter(Endpoint(server.url, "a"), tmp_path / "cache.jsonl")
    asked = len(server.asked)
    again.records([record("the left hippocampus?")])
    assert len(server.asked) == asked


def test_a_causal_language_model_rewrites_in_batches_and_its_nonsense_is_not_taken(tmp_path):
    def load(name):
        assert name == "tiny"
        lm, tokenizer, _ = tiny_base()
        return lm, tokenizer

    rewriter = Rewriter(LocalModel("tiny", load, batch=2, room=24), tmp_path / "cache.jsonl")
    given = [record(q) for q in ("the left hippocampus?", "measure the left hippocampus", "left hippocampus")]
    after = rewriter.records(given)
    assert [r.messages for r in after] == [r.messages for r in given]  # an untrained model names no hippocampus
    assert sum(rewriter.told.values()) == 3
    assert all(what.startswith("kept: ") for what in rewriter.told)
    lines = (tmp_path / "cache.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    texts = ["the left hippocampus?", "left hippocampus"]
    one_by_one, together = (LocalModel("tiny", load, batch=n, room=24).write(texts) for n in (1, 2))
    assert one_by_one == together


def test_a_build_is_rewritten_and_its_table_says_how_much(server, tmp_path, capsys):
    public_sets.MASKS["amos"](tmp_path / "amos")
    out = tmp_path / "built"
    argv = ["build", f"amos={tmp_path / 'amos'}", "--out", str(out), "--per-case", "3", "--rewrite", server.url]
    assert command.main(argv) == 2
    assert "--rewrite-model" in capsys.readouterr().err
    assert command.main([*argv, "--rewrite-model", "m"]) == 0
    assert "questions rewritten: " in capsys.readouterr().out
    records = [r for split in ("train", "dev") for r in arrow.read(out, split)]
    questions = [m for r in records for m in r.messages if m.role == "user"]
    assert len(questions) == sum(len(r.rewritten) for r in records)
    taken = sum(r.rewritten.count("rewritten") for r in records)
    assert sum(m.content.endswith("please") for m in questions) >= taken > 0
    assert (tmp_path / "built.rewritten.jsonl").is_file()
    assert command.main(["inspect", str(out), "-n", "1"]) == 0
    assert "questions:" in capsys.readouterr().out
    with pytest.raises(RecipeError, match="a build with other settings"):
        arrow.build([Source("amos", tmp_path / "amos")], out, Settings(per_case=3))
    assert command.main([*argv[:-2], "--rewrite-model", "m"]) == 2
    assert "do nothing alone" in capsys.readouterr().err


def test_what_an_address_is_and_what_a_model():
    assert writer_of("http://host/v1", "m") == Endpoint("http://host/v1", "m")
    assert isinstance(writer_of("some/model", ""), LocalModel)
    with pytest.raises(RecipeError, match="cannot be loaded"):
        writer_of("/nowhere/at/all", "").write(["x"])
