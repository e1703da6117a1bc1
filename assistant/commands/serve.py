"""`deixis serve`: the model behind HTTP, until interrupted. What is served is `assistant/server.py`'s."""

from __future__ import annotations

import argparse
import logging

from assistant.commands.printed import stdout_kept


def serve(options: argparse.Namespace) -> None:
    """`deixis serve`: until interrupted. Bad usage and a model that cannot be loaded end it before it listens."""
    from assistant.serving.address import check_binding

    check_binding(options.host, options.port, options.api_key)  # before the seconds that the rest takes
    from assistant import server
    from assistant.serving.tenancy import MIB, Limits
    from assistant.session import load_model

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    limits = Limits(
        upload_bytes=options.max_upload_mb * MIB,
        inline_bytes=options.max_inline_mb * MIB,
        scans=options.max_scans,
        idle_seconds=options.idle_minutes * 60,
        memory_bytes=options.max_memory_mb * MIB,
        answer_seconds=options.answer_seconds,
        waiting=options.max_waiting,
    )
    with stdout_kept():
        model = load_model(options.model, options.base, options.device, options.quantize)
        server.serve(model, options.host, options.port, options.api_key, limits)
