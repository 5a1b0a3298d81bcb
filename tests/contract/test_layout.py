"""The layout of the tests: whoever changes a module finds what tests it."""

from collections import Counter
from pathlib import Path

import pytest
from tests.rigs.imports import ROOT

PACKAGES = {path.name: path for path in [*ROOT.glob("shared/relay_*"), *ROOT.glob("services/*/relay_*")]}
SCRIPTS = {"scripts"}
"""Not a package of the wheel, but mirrored like one."""
READS_SOURCES = {"test_hot_path.py"}
"""Reads the sources of several packages, so that it belongs to none."""

ELSEWHERE = {
    "contract/test_livekit_plugin.py": "simulator.participant",
    "contract/test_public_names.py": "client.resources wire.problems",
    "contract/test_vendor_bytes.py": "simulator.messages",
    "contract/test_vendor_service.py": "simulator.console simulator.handshake simulator.motion_server",
    "e2e/test_commands.py": """
        cli.capacity_table cli.console cli.demo cli.recording cli.stack
    """,
    "e2e/test_nginx.py": "settings.websockets",
    "e2e/test_relay.py": "runtime.process",
    "e2e/test_traces.py": "settings.tracing",
    "e2e/test_verify.py": """
        cli.verify.command cli.verify.conversation cli.verify.simulator_log cli.verify.verification
        cli.verify.watcher
    """,
    "integration/cli/recordings/test_commands.py": "cli.recordings.inventory",
    "integration/cli/test_doctor.py": """
        cli.doctor.examination cli.doctor.finding cli.doctor.hosts cli.doctor.jobs cli.doctor.machine
        cli.doctor.redis cli.doctor.viewers streams.job_roles
    """,
    "integration/cli/webhooks/test_commands.py": "cli.webhooks.actions cli.webhooks.text",
    "integration/control/test_access.py": "control.operation",
    "integration/control/test_audio_formats.py": "control.audio_errors",
    "integration/control/test_audio_socket.py": "control.speakers wire.audio_socket",
    "integration/control/test_audio_websocket.py": "control.speech_queue streams.scripts.hold_turn",
    "integration/control/test_backend.py": "client.backend client.errors",
    "integration/control/test_openapi.py": "control.app control.responses",
    "integration/control/test_outside_text.py": "control.trace_context",
    "integration/control/test_posting.py": "control.api control.errors streams.turn_input",
    "integration/control/test_usage.py": "streams.usage",
    "integration/jobs/usage/test_settle.py": "streams.accounts",
    "integration/jobs/reaper/test_reap.py": "streams.reaping",
    "integration/control/test_speech_stream.py": "client.speech_stream",
    "integration/gateway/dialects/test_avatarkit_binary.py": "gateway.upload",
    "integration/gateway/dialects/test_avatarkit_json.py": "gateway.avatarkit settings.avatarkit",
    "integration/gateway/fanout/test_turn_delivery.py": "gateway.fanout.write_times",
    "integration/gateway/test_closes.py": "gateway.accept gateway.response gateway.socket",
    "integration/gateway/test_fanout.py": """
        gateway.app gateway.dialects.native gateway.fanout.feeds gateway.fanout.reader gateway.hub
    """,
    "integration/gateway/test_handshake.py": "runtime.upgrade gateway.session",
    "integration/gateway/test_messages.py": "gateway.commands gateway.inbound gateway.presence",
    "integration/gateway/test_probes.py": "runtime.probe runtime.root",
    "integration/gateway/test_replay.py": "gateway.fanout.replay",
    "integration/gateway/test_subscriber.py": "gateway.fanout.catch_up",
    "integration/gateway/test_viewer.py": "client.viewer",
    "integration/ingest/agents/test_runner.py": """
        ingest.agents.api ingest.agents.builtin.push ingest.agents.events
        ingest.agents.session
    """,
    "integration/ingest/test_containment.py": "ingest.discards ingest.end_reasons ingest.worker",
    "integration/ingest/test_motion.py": """
        ingest.motion.client ingest.motion.pool ingest.motion.session settings.vendor
        simulator.faults simulator.request_log simulator.session simulator.session_faults
    """,
    "integration/jobs/recordings/test_copying.py": "jobs.recordings.metrics",
    "integration/jobs/recordings/test_tasks.py": "jobs.recordings.measuring",
    "integration/jobs/test_worker.py": """
        jobs.app jobs.celery_app jobs.child jobs.sender jobs.task_metrics jobs.task_runner
    """,
    "integration/redis/test_client.py": """
        redis.endpoint redis.errors redis.local_server redis.metrics redis.reconnect
    """,
    "integration/redis/test_connection.py": """
        redis.node redis.pubsub redis.pubsub_connection
    """,
    "integration/redis/test_topologies.py": "redis.cluster redis.cluster_pubsub redis.pool redis.sentinel",
    "integration/runtime/test_extra.py": "cli.script",
    "integration/runtime/test_http.py": "runtime.refusal",
    "integration/runtime/test_listening.py": "runtime.site settings.host",
    "integration/simulator/test_egress.py": "simulator.playback simulator.room",
    "integration/telemetry/test_traces.py": "telemetry.semconv telemetry.trace_export",
    "integration/streams/test_consumer.py": "streams.partition",
    "integration/control/test_clips.py": "control.idempotency settings.clips",
    "integration/jobs/clips/test_renderer.py": "streams.frames",
    "integration/streams/test_clips.py": """
        streams.scripts.claim_clip streams.scripts.create_clip streams.scripts.delete_clip
        streams.scripts.finish_clip streams.scripts.erase_clip streams.scripts.renew_clip
        streams.scripts.store_clip
    """,
    "integration/streams/test_outbox.py": "settings.outbox streams.scripts.read_outbox",
    "integration/streams/test_publisher.py": "streams.publish_metrics streams.writer",
    "integration/streams/test_record_motion.py": "streams.scripts.record_motion",
    "integration/streams/test_turn_keys.py": "streams.scripts.find_turn",
    "integration/streams/test_webhooks.py": """
        streams.scripts.begin_delivery streams.scripts.due_deliveries streams.scripts.enter_endpoint
        streams.scripts.finish_delivery streams.scripts.leave_endpoint streams.scripts.postpone_delivery
        streams.scripts.restore_deliveries streams.scripts.retry_delivery
    """,
    "integration/streams/test_accepted.py": "streams.scripts.stop_agent",
    "integration/streams/test_uplink.py": """
        streams.scripts.append_speech streams.scripts.append_uplink streams.scripts.uplink_rejection
    """,
    "integration/streams/test_replays.py": "streams.scripts.append_replay streams.scripts.begin_replay",
    "integration/streams/test_recordings.py": """
        streams.scripts.advance_recording streams.scripts.read_recording streams.scripts.release_recording
        streams.scripts.claim_recording
    """,
    "scenarios/test_interrupts.py": "turns.effects turns.rules",
    "scenarios/test_stopping.py": "ingest.app",
    "security/test_limits.py": "gateway.admission gateway.keepalive runtime.connection settings.limits",
    "security/test_redis_credentials.py": "redis.credentials",
    "security/test_stopping.py": "runtime.tasks",
    "security/test_tls.py": "runtime.tls",
    "unit/streams/test_keys.py": "streams.key_kinds",
    "unit/cli/test_main.py": """
        cli.commands.conversations cli.commands.keys cli.commands.relays cli.commands.services
        telemetry.version
    """,
    "unit/ingest/test_failures.py": "ingest.motion.failures",
    "unit/jobs/test_consequences.py": "jobs.parts",
    "unit/redis/test_schema.py": "redis.script",
    "unit/settings/test_base.py": """
        settings.control settings.ingest settings.reaper settings.tokens settings.uplink
        settings.usage
    """,
    "unit/settings/test_environment.py": """
        settings.agents settings.catalogue settings.flags settings.gateway settings.process settings.refusal
        settings.simulator settings.unused
    """,
    "unit/settings/test_redis_url.py": "settings.store",
    "unit/streams/test_scripts.py": """
        streams.scripts.attend streams.scripts.begin_reaping streams.scripts.call streams.scripts.claim
        streams.scripts.close_idle streams.scripts.create streams.scripts.defer streams.scripts.dequeue
        streams.scripts.examine streams.scripts.expire streams.scripts.finish
        streams.scripts.heartbeat streams.scripts.lua streams.scripts.prune_made streams.scripts.publish
        streams.scripts.purge streams.scripts.remove_orphan streams.scripts.settle_account
        streams.scripts.reap streams.scripts.release streams.scripts.renew streams.scripts.repair
        streams.scripts.report_load streams.scripts.restore
    """,
    "unit/gateway/fanout/test_meter.py": "gateway.fanout.traffic",
    "unit/telemetry/test_fast_counter.py": "telemetry.number",
    "unit/telemetry/test_fast_histogram.py": "telemetry.distribution",
    "unit/telemetry/test_logs.py": "telemetry.log_writer",
    "unit/turns/test_machine.py": "turns.phase",
    "unit/wire/avatarkit/test_messages.py": "wire.avatarkit.texts",
    "unit/wire/test_messages.py": "wire.numbers",
    "unit/wire/test_wav.py": "wire.samples",
}
"""Modules without a test file of their name, below the file that drives them. A module that gets such a file
leaves this table."""

TYPES = {
    "gateway.dialects.dialect": "a Protocol",
    "gateway.fanout.connection": "a Protocol",
    "gateway.fanout.encoder": "a Protocol",
    "runtime.lifetime": "a base class without decisions, of every client of Redis",
}
"""Modules that have nothing to drive, with the reason."""


def modules() -> dict[str, Path]:
    """Every module, dotted and without ``relay_``, and its test file below the folder of a kind."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            if path.stem.startswith("__"):
                continue
            parts = (package.removeprefix("relay_"), *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts)] = Path(*parts[:-1], f"test_{parts[-1]}.py")
    return found


def unnamed() -> set[str]:
    """The modules that no test file is named for."""
    kinds = [ROOT / "tests" / "unit", ROOT / "tests" / "integration"]
    return {module for module, file in modules().items() if not any((kind / file).exists() for kind in kinds)}


def listed() -> list[str]:
    """The modules of both tables."""
    return [*TYPES, *(module for names in ELSEWHERE.values() for module in names.split())]


@pytest.mark.parametrize("kind", ["unit", "integration"])
def test_tests_are_in_the_folder_of_their_package(kind: str) -> None:
    """A suite that belongs to no package is a scenario."""
    there = {path.name for path in (ROOT / "tests" / kind).iterdir() if not path.name.startswith("__")}

    packages = {package.removeprefix("relay_") for package in PACKAGES}
    assert there <= packages | SCRIPTS | READS_SOURCES


def test_every_module_has_a_test_file_of_its_name_or_a_row() -> None:
    """``test_<module>.py`` in the mirrored folder of unit or integration, or a row here."""
    assert sorted(unnamed() - set(listed())) == []


def test_no_row_is_stale() -> None:
    """Rows are of modules that exist and have no test file of their name, each once."""
    assert sorted(set(listed()) - unnamed()) == []
    assert [module for module, rows in Counter(listed()).items() if rows > 1] == []


def test_every_file_of_a_row_exists() -> None:
    """The file that drives a module can be opened."""
    assert [file for file in ELSEWHERE if not (ROOT / "tests" / file).exists()] == []
