"""The polkit rule that an administrator is told to write."""

from __future__ import annotations

from companion_agent.platforms.linux import polkit
from companion_agent.platforms.linux.logind import polkit_actions

LOGIN = "org.freedesktop.login1."


def test_rule_names_the_user_and_each_action_once() -> None:
    text = polkit.rule("pilot-agent", [f"{LOGIN}reboot", f"{LOGIN}power-off", f"{LOGIN}reboot"])
    assert text == (
        "// What the Pilot agent may do to this machine when Home Assistant asks for it.\n"
        "polkit.addRule(function(action, subject) {\n"
        "    var permitted = [\n"
        '        "org.freedesktop.login1.power-off",\n'
        '        "org.freedesktop.login1.reboot",\n'
        "    ];\n"
        '    if (subject.user == "pilot-agent" && permitted.indexOf(action.id) >= 0) {\n'
        "        return polkit.Result.YES;\n"
        "    }\n"
        "});\n"
    )


def test_names_cannot_leave_their_quotes() -> None:
    text = polkit.rule('x" || true || "\\', [])
    assert r'subject.user == "x\" || true || \"\\" &&' in text


def test_no_more_is_permitted_than_needed() -> None:
    assert polkit_actions(["suspend"]) == {f"{LOGIN}suspend", f"{LOGIN}suspend-multiple-sessions"}
    assert polkit_actions(["lock"]) == {f"{LOGIN}lock-sessions"}
    assert not any("ignore-inhibit" in action for action in polkit_actions(["shutdown", "suspend"]))


def test_warning_users_goes_with_shutting_down() -> None:
    assert f"{LOGIN}set-wall-message" in polkit_actions(["reboot"])


def test_calling_off_needs_what_was_planned() -> None:
    assert polkit_actions(["cancel"]) == polkit_actions(["shutdown", "reboot"]) - {
        f"{LOGIN}set-wall-message"
    }


def test_fix_says_where_the_rule_goes_and_what_to_do_without_polkit() -> None:
    fix = polkit.missing_rule("pilot-agent", [f"{LOGIN}reboot"])
    assert fix.reason == "polkit"
    assert "/etc/polkit-1/rules.d/50-pilot-agent.rules" in fix.fix.splitlines()[0]
    assert fix.fix.endswith(polkit.rule("pilot-agent", [f"{LOGIN}reboot"]))
    without = polkit.missing_polkit("pilot-agent", [])
    assert without.reason == "package"
    assert "apt install polkitd" in without.fix
