"""`parkade operator`: builds every part once, joins them, and runs until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import kopf
from prometheus_client import start_http_server

from parkade.cluster import Applying, ClusterClient, Following, Leadership, Recorder
from parkade.cycle import Cycle, Solver
from parkade.handlers import watching
from parkade.handlers.observing import Observing
from parkade.handlers.probes import Probes
from parkade.handlers.running import Running
from parkade.handlers.shipping import ModelShipping
from parkade.handlers.waking import Wake
from parkade.handlers.working import Works
from parkade.plan import plan_once
from parkade.serving import ModelStore
from parkade.settings import Settings
from parkade.solver.solve import Terms
from parkade.solver.warm import solve_from
from parkade.telemetry import Metrics, configure_logs

log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Kubeconfig of the cluster; default: KUBECONFIG, else the pod's service account.",
)
@click.option("--namespace", help="Namespace of the Lease and of parkade-settings; default: PARKADE_NAMESPACE.")
@click.option("--verbose", is_flag=True, help="Log every step.")
def operator(kubeconfig: Path | None, namespace: str | None, *, verbose: bool) -> None:
    """Plan and place workloads until stopped; other settings are environment variables, see docs/settings.md."""
    configure_logs(verbose=verbose)
    if kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(kubeconfig)  # kopf's login reads it there
    settings = Settings.from_environment(os.environ)
    settings = replace(
        settings,
        namespace=namespace or settings.namespace,
        identity=settings.identity or f"{socket.gethostname()}-{os.getpid()}",
    )
    Operator(settings).run()


def bounded_solve(settings: Settings) -> Solver:
    """The solver with its backstop in seconds, so that no problem keeps the cycle from running."""
    return partial(solve_from, terms=Terms(time_limit=settings.solve_seconds))


class Operator:
    """One operator process: the parts, built once and passed down."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.wake, self.metrics = Wake(), Metrics()
        self.client = ClusterClient.connect(settings.kube_qps, settings.kube_burst)
        lease_client = ClusterClient.connect(settings.kube_qps, settings.kube_burst)  # never waits behind the cycle
        lease = (settings.namespace, settings.identity, settings.lease_seconds)
        self.leadership = Leadership(lease_client, *lease, self._led, self._says)
        self.works = Works(self.wake.call)
        self.shipping = ModelShipping(self.client, settings.namespace, ModelStore(settings.model_store), self.works)
        self.observing = Observing(settings, self.wake.call)
        applying = Applying(self.client, Recorder(self.client, settings.identity))
        planner = (plan_once, bounded_solve(settings))
        self.following = Following(self.client)
        cluster = (self.client, self.following, applying)
        self.cycle = Cycle(settings, cluster, (self.shipping, self.observing), planner, self.metrics)
        self.running = Running(self.cycle, self.leadership, self.wake, settings.resync, self.metrics)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; the Lease is handed back on the way out."""
        probes = Probes(self.settings.health_port, {"/healthz": self.running.alive, "/readyz": self.running.ready})
        metrics_server, _ = start_http_server(self.settings.metrics_port, registry=self.metrics.registry)
        probes.start()
        self.leadership.start()
        self.observing.start()
        self.running.start()
        try:
            asyncio.run(self._watch())
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # told twice to end, the Lease is still handed back
            self.running.stop()
            self.observing.stop()
            self.leadership.stop()
            self.following.close()
            self.works.close()
            self.shipping.close()
            probes.stop()
            metrics_server.shutdown()

    def _led(self) -> None:
        self.wake.call("lease")

    def _says(self) -> Mapping[str, str]:
        return self.running.says()

    async def _watch(self) -> None:
        """Keep kopf watching until a signal tells it to end; should it break, the cycle runs on and it starts again."""
        while True:
            try:
                await self._kopf()
            except Exception:
                log.exception("watching broke; it starts again")
                await asyncio.sleep(1.0)
            else:
                return

    async def _kopf(self) -> None:
        """Watch until SIGINT or SIGTERM.

        kopf's own handlers of the two raise when a second signal comes while it ends, so ours replace them.
        """
        registry = kopf.OperatorRegistry()
        watching.register(registry, self.wake)
        kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
        kopf.on.login(registry=registry)(kopf.login_with_service_account)
        stop, others = asyncio.Event(), asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=registry, settings=watching.settings(), standalone=True, clusterwide=True, stop_flag=stop
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await kopf.run_tasks(tasks, ignored=others)
