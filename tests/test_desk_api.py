"""The desk's named calls through the real `gradio_client`, as its documentation shows them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def address(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import app
    from assistant.session import Session

    blocks = app.build_desk(
        open_session=lambda volume: Session.open(volume, model=tiny_model), keep=tmp_path_factory.mktemp("kept")
    )
    yield app.launch(blocks, wait=False, readers=[("ada", "secret")])
    blocks.close()


def client_of(address: str, downloads: Path) -> Any:
    from gradio_client import Client

    return Client(address, auth=("ada", "secret"), download_files=downloads, verbose=False)


def test_open_ask_and_export(address: str, tiny_scan: Path, tmp_path: Path) -> None:
    from gradio_client import handle_file

    desk = client_of(address, tmp_path)
    facts = desk.predict(handle_file(tiny_scan), api_name="/open")
    assert facts["shape"] == [18, 24, 16]
    assert "path" not in facts
    reply = desk.predict("Show me the left block.", api_name="/ask")
    assert reply["text"].startswith("left block (m1)")
    assert reply["findings"][0]["volume_ml"] > 0
    reply = desk.predict("Where is it?", [[-9, -7, -2]], api_name="/ask")
    assert [finding["id"] for finding in reply["findings"]] == ["m2"]
    masks = desk.predict(api_name="/export")
    assert {"labels.nii.gz", "measurements.csv", "summary.html", "manifest.json"} <= set(
        zipfile.ZipFile(masks).namelist()
    )
    named = desk.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/open", "/ask", "/export"}
    desk.close()


def test_what_is_wrong_is_one_sentence_and_clients_share_nothing(address: str, tiny_scan: Path, tmp_path: Path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    one, other = client_of(address, tmp_path), client_of(address, tmp_path)
    one.predict(handle_file(tiny_scan), api_name="/open")
    with pytest.raises(AppError, match="no scan is open; call /open first"):
        other.predict("Where is it?", api_name="/ask")
    with pytest.raises(AppError, match="a point has not 3 or 4 numbers"):
        one.predict("Where is it?", [[1, 2]], api_name="/ask")
    with pytest.raises(AppError, match="lies outside the scan"):
        one.predict("Where is it?", [[900, 0, 0]], api_name="/ask")
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no scan")
    with pytest.raises(AppError, match=r"bad\.nii\.gz"):
        one.predict(handle_file(bad), api_name="/open")
    assert one.predict("Where is it?", api_name="/ask")["findings"]
    one.close()
    other.close()


def test_nobody_comes_in_without_the_password(address: str) -> None:
    import httpx
    from gradio_client import Client

    with pytest.raises(ValueError, match=r"[Ll]ogin|[Aa]uth|credentials"):
        Client(address, auth=("ada", "guess"), verbose=False)
    assert httpx.get(f"{address}config").status_code == 401
    assert httpx.get(f"{address}gradio_api/info").status_code == 401


def test_who_may_come_in_is_a_pair_or_a_file_of_pairs(tmp_path: Path) -> None:
    import app
    from assistant.errors import ResourceError

    assert app.readers_of(None) is None
    assert app.readers_of("ada:se:cret") == [("ada", "se:cret")]
    (tmp_path / "readers").write_text("ada:one\n\nbob:two\n")
    assert app.readers_of(str(tmp_path / "readers")) == [("ada", "one"), ("bob", "two")]
    for bad in ("ada", "ada:", ":secret", ""):
        with pytest.raises(ResourceError, match="user:password"):
            app.readers_of(bad)


def test_a_desk_that_others_reach_without_a_password_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import app

    launched: list[dict[str, Any]] = []
    monkeypatch.setattr(app.Sessions, "load_ahead", lambda self: None)
    monkeypatch.setattr(app, "build_desk", lambda **given: None)
    monkeypatch.setattr(app, "launch", lambda desk, **given: launched.append(given))
    quiet = ["--keep", str(tmp_path), "--no-browser"]
    for arguments, warned in (
        ([], False), (["--host", "0.0.0.0"], True), (["--host", "0.0.0.0", "--auth", "ada:secret"], False),
    ):  # fmt: skip
        caplog.clear()
        assert app.main([*quiet, *arguments]) == 0
        assert ("give --auth" in caplog.text) is warned
    assert [given["readers"] for given in launched] == [None, None, [("ada", "secret")]]
    assert launched[0]["host"] == "127.0.0.1"
