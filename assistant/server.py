"""`deixis serve`: scans and questions over HTTP, the questions in the format of OpenAI's chat completions.

    POST   /v1/scans                      upload a scan
    GET    /v1/scans/{id}                 what it is           DELETE: forget it
    GET    /v1/scans/{id}/measurements    every mask found in it, as JSON or CSV
    POST   /v1/chat/completions           ask about it
    GET    /v1/masks/{id}                 a mask as NIfTI on the scan's own grid
    GET    /v1/models, /health, /docs, /openapi.json

What it is made of lies in `assistant/serving/`. One answer is computed at a time. Nothing here starts at import.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from assistant import __version__
from assistant.errors import DeixisError
from assistant.export import NOTICE, model_facts
from assistant.formats import DEFAULT_MAX_VOXELS
from assistant.model import DeixisModel
from assistant.question import checked_question, make_prompt
from assistant.serving import objects, wire
from assistant.serving.address import url_of
from assistant.serving.answer import GONE, Answer, Found, Item, Waiting, Whole, Words
from assistant.serving.gate import OVERHEAD, BodyRefused, Gate
from assistant.serving.refusal import Refusal, error_body, error_json, refusal_of
from assistant.serving.tenancy import HowToRead, KeptMask, Limits, Scan, Tenancy
from assistant.serving.worker import Worker
from assistant.table import COLUMNS, as_csv

PATIENCE = 10.0  # seconds without a word to a waiting client; proxies give up after 60
PACE = 60.0  # seconds between two parts of a request's body
CSV_COLUMNS = (*COLUMNS, "question", "mask_id", "mask_url")
READING_BYTES = 12  # of memory for each voxel while a scan is read: the file's values, float32, the reordered copy

DESCRIPTION = f"""Ask a 3D scan a question; every claim of the answer points at measured voxels.

{NOTICE} Points and boxes are RAS+ millimetres: x to the patient's right, y to the front, z up. A scan's id is all that
is needed to ask about it: keep it as secret as the scan."""


def create_app(
    model: DeixisModel, limits: Limits | None = None, api_key: str | None = None, patience: float = PATIENCE
) -> FastAPI:
    """The application. api_key: None for a server that this machine alone can reach. It computes while its lifespan is
    entered, and leaves no file behind."""
    kept = limits or Limits()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tenancy = Tenancy(model, kept, on_work=lambda: worker.wake())
        worker = Worker(kept.waiting, tenancy.read_on)
        app.state.tenancy, app.state.worker = tenancy, worker

        async def expire() -> None:
            while True:
                await asyncio.sleep(min(30.0, kept.idle_seconds / 4))
                tenancy.expire()

        expiring = asyncio.create_task(expire())
        try:
            yield
        finally:
            expiring.cancel()
            await run_in_threadpool(worker.close)
            tenancy.close()

    app = FastAPI(
        title="Deixis", version=__version__, description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None,
        responses={"4XX": {"model": objects.ErrorBody}, "5XX": {"model": objects.ErrorBody}},
        # for the description alone: the gate has checked the key before a body is read
        dependencies=[Depends(HTTPBearer(auto_error=False, description="the server's API key"))] if api_key else [],
    )  # fmt: skip
    app.add_middleware(
        Gate,
        key=api_key,
        most_bytes={
            "/v1/scans": kept.upload_bytes + OVERHEAD,
            "/v1/chat/completions": kept.inline_bytes * 4 // 3 + OVERHEAD,  # as base64
            None: OVERHEAD,
        },
        pace=PACE,
    )
    add_error_handlers(app)
    add_scans(app)
    add_answers(app, model, patience)
    add_facts(app, model, kept)
    describe(app)
    return app


# ---- scans -----------------------------------------------------------------------------------------------------------


def add_scans(app: FastAPI) -> None:
    def tenancy() -> Tenancy:
        kept: Tenancy = app.state.tenancy
        return kept

    @app.post("/v1/scans", status_code=201, response_model=objects.ScanObject, tags=["scans"])
    def upload(
        file: Annotated[UploadFile, File(description=".nii, .nii.gz, .nrrd, .mha, .dcm, or a .zip of a DICOM series")],
        modality: Annotated[str | None, Form(description="CT, MR or PET, instead of what the file says")] = None,
        series: Annotated[str | None, Form(description="which DICOM series: its number or UID")] = None,
        frame: Annotated[int | None, Form(description="which frame of a 4D file, from 0")] = None,
    ) -> Any:
        """Keep a scan to ask about. Its name counts: the end says what it is, and words in it ("ct", "t1") may settle
        the modality where the file does not say."""

        def write(path: Path) -> None:
            with path.open("wb") as target:
                shutil.copyfileobj(file.file, target, 2**20)

        return scan_object(tenancy().keep(write, file.filename, HowToRead(series or None, frame, modality or None)))

    @app.get("/v1/scans/{scan_id}", response_model=objects.ScanObject, tags=["scans"])
    def look(scan_id: str) -> Any:
        """What a scan is."""
        return scan_object(tenancy().get(scan_id))

    @app.delete("/v1/scans/{scan_id}", response_model=objects.Deleted, tags=["scans"])
    def delete(scan_id: str) -> Any:
        """Forget a scan with its masks, at once and for good."""
        tenancy().delete(scan_id)
        return {"id": scan_id, "object": "scan.deleted", "deleted": True}

    @app.get(
        "/v1/scans/{scan_id}/measurements", response_model=objects.Measurements, tags=["scans"],
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    def measurements(scan_id: str, request: Request, format: Literal["json", "csv"] | None = None) -> Any:
        """Every mask that was found in a scan, in any conversation, oldest first. CSV with format=csv or when the
        request accepts text/csv."""
        rows = [measured(mask) for mask in list(tenancy().get(scan_id).masks.values())]
        if format == "csv" or (format is None and "text/csv" in request.headers.get("accept", "")):
            return Response(as_csv(rows, CSV_COLUMNS), media_type="text/csv")
        return {"object": "list", "scan": scan_id, "data": rows}

    @app.get(
        "/v1/masks/{mask_id}", response_class=FileResponse, tags=["scans"],
        responses={200: {"content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}}}},
    )  # fmt: skip
    def mask(mask_id: str) -> Any:
        """A mask as NIfTI (.nii.gz), 0 and 1, of the scan's own shape and affine."""
        scan, kept = tenancy().mask(mask_id)
        with tenancy().without_paths():
            path = scan.mask_file(kept)
        return FileResponse(path, media_type="application/gzip", filename=tenancy().mask_name(kept))


def scan_object(scan: Scan) -> dict[str, Any]:
    return {"id": scan.id, "object": "scan"} | scan.facts


def measured(mask: KeptMask) -> dict[str, Any]:
    return mask.facts | {"mask_id": mask.id, "mask_url": f"/v1/masks/{mask.id}"}


# ---- answers ---------------------------------------------------------------------------------------------------------


def add_answers(app: FastAPI, model: DeixisModel, patience: float) -> None:
    fingerprint = (model_facts(model)["sha256"] or "untrained")[:12]

    @app.post(
        "/v1/chat/completions", response_model=objects.ChatCompletion, tags=["answers"],
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    async def chat(body: wire.ChatRequest, request: Request) -> Any:
        """Ask about a scan, as a chat completion. Send the whole conversation each time, with the points and boxes of
        earlier questions in their messages' `deixis` (the server remembers those it was asked itself)."""
        tenancy: Tenancy = app.state.tenancy
        asked = await run_in_threadpool(wire.read_request, body, tenancy.limits.inline_bytes)
        if isinstance(asked.scan, str):
            scan = tenancy.get(asked.scan)
        else:
            scan = await run_in_threadpool(tenancy.inline_scan, asked.scan.content, asked.scan.filename)
        for ask in (*(past.ask for past in asked.past), asked.ask):  # before the seconds in line
            checked_question(ask.text)
            make_prompt(scan.frame, ask.points, ask.box)
        completion = wire.Completion(f"chatcmpl-{secrets.token_hex(12)}", fingerprint)

        async def left() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        items = Answer(tenancy, scan, asked).items(app.state.worker, left, patience)
        if body.stream:
            first = await anext(items)  # what is refused at once is refused with its own status
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            chunks = streamed(first, items, completion, with_usage)
            headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
            return StreamingResponse(chunks, media_type="text/event-stream", headers=headers)
        async with aclosing(items):
            async for item in items:
                if isinstance(item, Whole):
                    return JSONResponse(completion.whole(item.text, item.finish, item.usage, item.deixis))
        raise GONE


async def streamed(
    first: Item, items: AsyncGenerator[Item, None], completion: wire.Completion, with_usage: bool
) -> AsyncIterator[str]:
    """An answer as server-sent events, those of OpenAI with `deixis` beside the choices; `first` came already."""
    async with aclosing(items):
        yield completion.chunk({"role": "assistant", "content": ""})
        item = first
        try:
            while not isinstance(item, Whole):
                if isinstance(item, Words):
                    yield completion.chunk({"content": item.text})
                elif isinstance(item, Found):
                    yield completion.chunk({}, deixis={"finding": item.facts})
                elif isinstance(item, Waiting):
                    yield f": waiting, {item.position} before this one\n\n"
                item = await anext(items)
            yield completion.chunk({}, item.finish, deixis=item.deixis)
            if with_usage:
                yield completion.usage_chunk(item.usage)
        except Exception as error:  # noqa: BLE001  the status is sent already: the error goes where the words would
            yield wire.sse(error_body(refusal_of(error)))
        yield wire.DONE


# ---- facts and errors ------------------------------------------------------------------------------------------------


def add_facts(app: FastAPI, model: DeixisModel, limits: Limits) -> None:
    facts, started = model_facts(model), int(time.time())

    @app.get("/v1/models", response_model=objects.Models, tags=["facts"])
    def models() -> Any:
        """The one model that answers here."""
        only = {"id": wire.MODEL, "object": "model", "created": started, "owned_by": "deixis"}
        return {"object": "list", "data": [only | {"sha256": facts["sha256"], "base": facts["base"]}]}

    @app.get("/health", response_model=objects.Health, tags=["facts"])
    def health(response: Response) -> Any:
        """Whether the server lives and can compute; 503 when it cannot. Needs no key."""
        tenancy, worker = app.state.tenancy, app.state.worker
        response.status_code = 200 if worker.alive else 503
        return {
            "live": True,
            "ready": worker.alive,
            "version": __version__,
            "model": facts["sha256"],
            "queue": {"computing": worker.computing, "waiting": worker.waiting, "limit": limits.waiting},
            "scans": len(tenancy),
            "scans_limit": limits.scans,
            "session_bytes": tenancy.held,
            "session_bytes_limit": limits.memory_bytes,
        }

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def docs() -> str:
        """The OpenAPI description to read. A page of our own: the usual ones load their scripts from another host."""
        rows = []
        for path, methods in app.openapi()["paths"].items():
            for method, what in methods.items():
                rows.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(what['description'])}")
        return (
            f"<!doctype html><title>Deixis</title><body style='font-family:sans-serif;max-width:60em;margin:2em auto'>"
            f"<h1>Deixis {__version__}</h1><p>{escape(DESCRIPTION)}</p><p>Every field is described in "
            f"<a href='openapi.json'>openapi.json</a>, which any OpenAPI viewer shows.</p>{''.join(rows)}"
        )


def describe(app: FastAPI) -> None:
    """Settle the OpenAPI description, when all routes are there. FastAPI describes a wrong field as its own 422; here
    it is a 400 of OpenAI's shape."""
    schema = app.openapi()
    for methods in schema["paths"].values():
        for what in methods.values():
            what["responses"].pop("422", None)
    app.openapi_schema = schema  # what `openapi` returns from now on


def add_error_handlers(app: FastAPI) -> None:
    """Every refusal has OpenAI's error shape. What is not foreseen passes on to the gate, which logs it under an id."""

    def told(refusal: Refusal) -> Response:
        return Response(error_json(refusal), refusal.status, refusal.headers, "application/json")

    @app.exception_handler(DeixisError)
    async def refused(_: Request, error: DeixisError) -> Response:
        return told(refusal_of(error))

    @app.exception_handler(RequestValidationError)
    async def wrong_field(_: Request, error: RequestValidationError) -> Response:
        wrong = list(wire.sentences(error.errors()))[:3]
        sentence = "; ".join(said for _, said in wrong)
        return told(Refusal(400, sentence, "invalid_value", param=wrong[0][0] if wrong else None))

    @app.exception_handler(HTTPException)
    async def no_such_thing(request: Request, error: HTTPException) -> Response:
        if isinstance(error, BodyRefused):
            return told(error.refusal)
        what = f"{request.method} {request.url.path[:60]}"
        if error.status_code in (404, 405):
            return told(Refusal(error.status_code, f"there is no {what} here: see /docs for what is", "not_found"))
        return told(Refusal(error.status_code, f"{what} was not understood ({error.detail}): see /docs", "bad_request"))


def serve(model: DeixisModel, host: str, port: int, api_key: str | None, limits: Limits) -> None:
    """Serve until interrupted. `address.check_binding` comes before the model is loaded."""
    # a small file may promise a scan that no memory holds: it is refused by its header
    os.environ.setdefault("DEIXIS_MAX_VOXELS", str(min(DEFAULT_MAX_VOXELS, limits.memory_bytes // READING_BYTES)))
    app = create_app(model, limits, api_key)
    print(f"Deixis answers at {url_of(host, port)} (stop it with Ctrl+C); see /docs.", file=sys.stderr, flush=True)
    uvicorn.run(
        app, host=host, port=port, log_config=None, server_header=False, limit_concurrency=256,
        timeout_graceful_shutdown=5,
    )  # fmt: skip
