"""``eacps search``: one search, against a running server or an embedded one, followed live and written to files."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from eacps.cli.composition import Composition
from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import make_folder
from eacps.cli.interrupts import run_cancellable
from eacps.cli.live import LiveView
from eacps.cli.outcome import CommandFailed
from eacps.cli.remote import Watcher, run_remote_search
from eacps.cli.report import check_no_result, files_of, write_report
from eacps.cli.streams import print_json, result_console
from eacps.cli.summary import print_summary
from eacps.client.record import CompleteSearch
from eacps.settings import Settings
from eacps.v1 import search_service_pb2 as pb

TRITON_LOG = "triton.log"


@dataclass(frozen=True)
class Searching:
    """How to run a search and where its result goes.

    Args:
        composition: With the command's options applied; ``server`` decides whether a server is embedded.
        out: Folder of the result.
        console: For people; standard error.
        as_json: Print the result as JSON on standard output, and no summary.
        timeout_s: Deadline of the search; None for none.
        plot: Whether the progress of the search is drawn too.
        layers: Whether plate, patch and matte are written too.
        overwrite: Whether the result of another search may be replaced.
    """

    composition: Composition
    out: Path
    console: Console
    as_json: bool = False
    timeout_s: float | None = None
    plot: bool = False
    layers: bool = False
    overwrite: bool = False

    def run(self, request: pb.RunSearchRequest) -> dict[str, Any]:
        """Search, write the files, print what was found.

        Returns:
            What ``result.json`` holds.

        Raises:
            CommandFailed, EacpsError: See `eacps.cli.outcome`.
        """
        check_no_result(self.out, overwrite=self.overwrite)
        make_folder(self.out)
        server = self.composition.server
        search = self._embedded(request) if server is None else self._remote(server, request)
        result = write_report(search, request, self.out, plot=self.plot)
        if self.as_json:
            print_json(result)
        else:
            print_summary(search, result_console())
        files = files_of(search, plot=self.plot)
        self.console.print(f"wrote {', '.join(files)} to {self.out}", highlight=False, markup=False, soft_wrap=True)
        return result

    def _remote(self, server: str, request: pb.RunSearchRequest) -> CompleteSearch:
        with LiveView(self.console) as view:
            here = self.composition
            return run_cancellable(
                lambda: run_remote_search(
                    server,
                    request,
                    view.show,
                    on_submitted=view.show_queued,
                    tls=here.server_tls,
                    api_key=here.api_key,
                    timeout_s=self.timeout_s,
                    layers=self.layers,
                )
            )

    def _embedded(self, request: pb.RunSearchRequest) -> CompleteSearch:
        from eacps.cli.embedding import embedded_triton
        from eacps.cli.logs import log_to

        log_to(self.console, level=logging.ERROR)  # everything else comes back with the call
        if request.search.start:
            message = "--like begins from a search that a server keeps: use --server"
            raise CommandFailed(message, ExitCode.REQUEST, code="LIKE")
        _check_early(request)
        log_file = self.out / TRITON_LOG
        with (
            embedded_triton(self.composition, log_file, self.console) as triton,
            LiveView(self.console) as view,
        ):
            here = self.composition.with_options(triton=triton.grpc_url, address="127.0.0.1:0")
            # For this one search, on this machine: nobody else is served, and nothing is kept.
            settings = replace(here.settings, store=None, tls=None, metrics=None, api_keys=None, insecure=True)
            return run_cancellable(lambda: self._over(settings, request, view.show))

    async def _over(self, settings: Settings, request: pb.RunSearchRequest, watch: Watcher) -> CompleteSearch:
        # Only an embedded server needs this, and it takes a second to import.
        from eacps.assembly import serving

        async with serving(settings) as server:
            address = f"127.0.0.1:{server.port}"
            return await run_remote_search(address, request, watch, timeout_s=self.timeout_s, layers=self.layers)


def _check_early(request: pb.RunSearchRequest) -> None:
    """Find faults of a request before a model server is started for it.

    Which scorers and judges there are is for the server to check.

    Raises:
        InvalidRequest: Names every field at fault.
    """
    from eacps.api import Rules
    from eacps.api.validation import plan_of
    from eacps.evaluation.plan import judge_of
    from eacps.limits import DEFAULT_WEIGHTS

    named = {scorer.name for scorer in request.scorers if not scorer.HasField("question")}
    asked = {judge_of(scorer.name) for scorer in request.scorers if scorer.HasField("question")}
    rules = Rules(frozenset(DEFAULT_WEIGHTS) | named, judges=frozenset(asked))
    plan_of(request, rules, search_id="early check", drawn_seed=0)
