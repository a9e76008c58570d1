"""Windows' notifications: shown, taken away, and what becomes of them.

The user sees them from the program that is registered in the user's own registry. Source:
Microsoft's reference of Windows.UI.Notifications, and "Send a local toast notification from other
types of unpackaged apps" for the registration.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.windows import winrt
from companion_agent.plugins.notifications.shown import MAX_SHOWN
from companion_agent.winapi.registry import PROGRAM, REGISTERED, RegistryTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GROUP = "pilot"

# NotificationSetting.
_SWITCHED_OFF = {
    1: "the user has switched notifications of Home Assistant off",
    2: "the user has switched all notifications off",
    3: "a group policy has switched notifications off",
    4: "Windows does not let this program show notifications",
}
# ToastDismissalReason.
_REASONS = {0: "dismissed", 1: "cleared", 2: "expired"}


class Toasts:
    """What shows notifications in this session. Windows calls back in threads of its own.

    Args:
        name: Who the user sees them from.

    Raises:
        Unavailable: This Windows shows none, or a package is missing.
    """

    def __init__(self, name: str) -> None:
        self._notifications = winrt.load("Windows.UI.Notifications")
        self._xml = winrt.load("Windows.Data.Xml.Dom")
        # One that nothing here refers to calls back no more.
        self._kept: OrderedDict[str, Any] = OrderedDict()
        # Toasts with input have it as a property set.
        winrt.load("Windows.Foundation.Collections")
        try:
            RegistryTexts(REGISTERED, lasting=True).write("DisplayName", name)
            manager = self._notifications.ToastNotificationManager
            self._notifier = manager.create_toast_notifier(PROGRAM)
            self._history = manager.history
        except OSError as error:
            raise Unavailable(f"this Windows shows no notifications: {error}") from error

    def show(
        self,
        content: str,
        tag: str,
        *,
        activated: Callable[[str, Mapping[str, str]], None],
        dismissed: Callable[[str], None],
        failed: Callable[[str], None],
    ) -> None:
        """Show one, in the place of the one with the same tag.

        Args:
            content: Its XML.
            tag: 64 characters at most.
            activated: Called with what was pressed says, and with what was typed, by field.
            dismissed: Called with why it is gone: `dismissed`, `cleared` or `expired`. One that
                has expired may still be answered in the notification centre.
            failed: Called with why Windows did not show it.

        Raises:
            CommandError: Windows does not show it.
        """
        try:
            if reason := _SWITCHED_OFF.get(int(self._notifier.setting)):
                raise CommandError("failed", reason)
            document = self._xml.XmlDocument()
            document.load_xml(content)
            toast = self._notifications.ToastNotification(document)
            toast.tag, toast.group = tag, GROUP
            toast.add_activated(lambda _, event: activated(*self._answer(event)))
            toast.add_dismissed(
                lambda _, event: dismissed(_REASONS.get(int(event.reason), "undefined"))
            )
            toast.add_failed(lambda _, event: failed(f"error {event.error_code}"))
            self._notifier.show(toast)
            self._kept[tag] = toast
            if len(self._kept) > MAX_SHOWN:
                self._kept.popitem(last=False)
        except OSError as error:
            raise CommandError("failed", f"Windows does not show it: {error}") from error

    def remove(self, tag: str) -> None:
        """Take one away, also from the notification centre.

        Raises:
            CommandError: Windows does not.
        """
        self._kept.pop(tag, None)
        try:
            self._history.remove(tag, GROUP, PROGRAM)
        except OSError as error:
            raise CommandError("failed", f"Windows does not clear it: {error}") from error

    def _answer(self, event: Any) -> tuple[str, dict[str, str]]:  # noqa: ANN401  (of the runtime)
        answer = event.as_(self._notifications.ToastActivatedEventArgs)
        typed = {name: winrt.unboxed_text(answer.user_input[name]) for name in answer.user_input}
        return answer.arguments, typed
