"""All cases of OTP 27's supervisor_SUITE: which file tests them here, what differs, and why a few are left out.

The tests hold themselves against this list, and `__main__.py` writes the page from it. The names are OTP's:
https://github.com/erlang/otp/blob/OTP-27.0/lib/stdlib/test/supervisor_SUITE.erl
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Case:
    """A case by OTP's name. `room` is the file here that tests it, or None, and then `left_out` says why.

    `differs` says what the test here does otherwise than OTP's; `pending`, what the library does not do yet.
    """

    name: str
    room: str | None
    differs: str = ""
    pending: str = ""
    left_out: str = ""


def _in(room: str, names: str, **more: str) -> list[Case]:
    return [Case(name, room, **more) for name in names.split()]


def _left_out(names: str, why: str) -> list[Case]:
    return [Case(name, None, left_out=why) for name in names.split()]


_NO_INIT: Final = "No `init` callback: the factory of `supervisor_child` plays its part"
_LOOP: Final = "A backoff shows the time between two starts; a stop does not wait for a start that hangs."
_NEW_INSTANCE: Final = "The flags come with a new instance, so the children start anew."

_ALL: Final = [
    *_in(
        "test_start",
        "sup_start_normal sup_start_ignore_child sup_start_ignore_temporary_child "
        "sup_start_ignore_temporary_child_start_child sup_start_ignore_temporary_child_start_child_simple "
        "sup_start_ignore_permanent_child_start_child_simple sup_start_restart_child_returns_error",
    ),
    *_in("test_start", "sup_start_ignore_init", differs=f"{_NO_INIT}, and raises `Ignore`."),
    *_in("test_start", "sup_start_error_return", differs=f"{_NO_INIT}, and returns no supervisor."),
    *_in("test_start", "sup_start_fail", differs=f"{_NO_INIT}, and raises."),
    *_in(
        "test_start",
        "sup_start_child_returns_error sup_start_child_returns_error_simple",
        differs="The start function raises, or returns without an acknowledgement.",
    ),
    *_in("test_start", "sup_start_map", differs="No `modules` to read."),
    *_in("test_start", "sup_start_map_simple", differs="Each child of a pool brings its own spec."),
    *_in(
        "test_start",
        "sup_start_map_faulty_specs",
        differs="An id is not needed, the function's name serves; an unknown flag is refused, OTP ignores it.",
    ),
    *_in(
        "test_stop",
        "sup_stop_infinity sup_stop_timeout sup_stop_timeout_dynamic sup_stop_brutal_kill "
        "sup_stop_brutal_kill_dynamic sup_stop_race",
    ),
    *_in(
        "test_stop",
        "sup_stop_non_shutdown_exit_dynamic",
        differs="A child that was asked and returns has the reason `shutdown`; OTP tells `normal` apart.",
    ),
    *_in("test_requests", "child_adm", differs="Nothing hibernates."),
    *_in(
        "test_requests",
        "child_adm_simple",
        differs="A pool has no `restart_child` and no `delete_child` to refuse; to terminate a child that is gone "
        "raises `NotFound`, as in Elixir, where OTP says `ok`.",
    ),
    *_in("test_requests", "extra_return", differs="The value of `task_status.started(value)` is the extra."),
    *_in(
        "test_requests",
        "child_specs",
        differs="Types and modules are not written in a spec.",
    ),
    *_in(
        "test_requests",
        "child_specs_map",
        differs="A `Policy` has what OTP's map has beside the id and the start.",
    ),
    *_in(
        "test_requests",
        "sup_flags",
        differs="An infinite period is allowed; an unknown flag is refused, OTP ignores it.",
    ),
    *_in(
        "test_ending",
        "permanent_normal transient_normal temporary_normal permanent_shutdown transient_shutdown "
        "temporary_shutdown permanent_abnormal transient_abnormal temporary_abnormal",
    ),
    *_in(
        "test_ending",
        "faulty_application_shutdown",
        differs="A tree under a top supervisor is the application.",
    ),
    *_in(
        "test_strategies",
        "multiple_restarts one_for_one one_for_one_escalation one_for_all one_for_all_escalation "
        "one_for_all_other_child_fails_restart rest_for_one rest_for_one_escalation "
        "rest_for_one_other_child_fails_restart temporary_bystander tree order_of_children",
    ),
    *_in(
        "test_pools",
        "simple_one_for_one simple_one_for_one_shutdown simple_one_for_one_extra simple_one_for_one_escalation "
        "simple_one_for_one_restart_ignore count_children do_not_save_child_specs_for_temporary_children",
    ),
    *_in(
        "test_pools",
        "simple_one_for_one_corruption do_not_save_start_parameters_for_temporary_children",
        differs="The arguments are gone when the child has ended; OTP drops them when it has started.",
    ),
    *_in("test_pools", "count_children_supervisor", differs="The children are stopped, not killed."),
    *_in(
        "test_pools",
        "count_restarting_children",
        differs="A backoff keeps the children restarting; a start that hangs would count as active here.",
    ),
    *_in(
        "test_significant",
        "nonsignificant_temporary nonsignificant_transient significant_temporary significant_transient "
        "significant_bystander significant_escalation",
    ),
    *_in("test_significant", "significant_simple", differs="A pool has no `auto_shutdown` to be given."),
    *_in(
        "test_upgrade",
        "significant_upgrade_never_any significant_upgrade_any_never significant_upgrade_never_all "
        "significant_upgrade_all_never significant_upgrade_any_all significant_upgrade_all_any "
        "significant_upgrade_child",
        differs=_NEW_INSTANCE,
    ),
    *_in(
        "test_loops",
        "hanging_restart_loop hanging_restart_loop_rest_for_one",
        differs=_LOOP,
    ),
    *_in("test_loops", "hanging_restart_loop_simple", differs=_LOOP),
    *_in(
        "test_scale",
        "simple_one_for_one_scale_many_temporary_children scale_start_stop_many_children",
        differs="Lines of code that run are counted, with 100 and 1,000 children; OTP takes times.",
    ),
    *_in(
        "test_apart",
        "child_unlink",
        differs="A task cannot leave its nursery: the child makes itself deaf to its cancel for a minute.",
    ),
    *_in(
        "test_apart",
        "simple_global_supervisor",
        differs="The names are those of one process; the task around the supervisor crashes, since none can be killed.",
    ),
    *_in(
        "test_apart", "already_started_outside_supervisor", differs="The start function finds the name taken."
    ),
    *_left_out(
        "code_change code_change_map code_change_simple code_change_simple_map",
        "A Python process does not change the code of what runs in it.",
    ),
    *_left_out("get_callback_module", "A supervisor is made from arguments; there is no callback module."),
    *_left_out(
        "format_log_1 format_log_2",
        "The library writes no logs; how an event reads is for who subscribes to say.",
    ),
    *_left_out(
        "external_start_no_progress_log", "The library writes no logs; its observer is told of every start."
    ),
]

CASES: Final = {case.name: case for case in _ALL}
