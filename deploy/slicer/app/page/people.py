"""The people in the session, and those who ask for control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trame.widgets import html, vuetify3

from app.core import log
from app.people.activity import viewing_sentence

if TYPE_CHECKING:
    from app.people.activity import Activity

# The widgets are made at run time and have no types.
v3: Any = vuetify3
_ROLES = {"owner": "owner", "control": "can control", "view": "viewing"}


class People:
    """The names in the bar, and the banners of those who ask.

    ``share_url``: the hub's page where the owner lets people in, empty if there is none.
    """

    def __init__(self, server: Any, activity: Activity, *, share_url: str) -> None:  # noqa: ANN401 - trame has no types
        """`build` and `build_asking` make the widgets."""
        self._activity = activity
        self._state: Any = server.state
        self._state.update(
            {
                "hub_role": "",
                "hub_user": "",
                "hub_people": [],
                "hub_viewing": viewing_sentence([]),
                "hub_share": share_url,
                "hub_asking": [],
            }
        )
        server.trigger("hub_dismiss")(self._dismiss)

    def show(self) -> None:
        """After somebody came or went."""
        people: dict[str, str] = {}
        for each in self._activity.clients:
            people[each.visitor.user] = _ROLES.get(each.visitor.role.value, "")
        looking = {
            each.visitor.user for each in self._activity.clients if not each.visitor.role.may_change
        }
        with self._state:
            self._state.hub_people = [
                {"user": user, "role": role} for user, role in sorted(people.items())
            ]
            self._state.hub_viewing = viewing_sentence(self._activity.clients)
            self._state.hub_asking = [user for user in self._state.hub_asking if user in looking]

    def show_asking(self, user: str) -> None:
        """Tells people with control that this person asks for it; once until dismissed."""
        here = {each.visitor.user for each in self._activity.clients}
        if user in here and user not in self._state.hub_asking:
            log.event("control.asked", user=user)
            with self._state:
                self._state.hub_asking = [*self._state.hub_asking, user]

    def build(self) -> None:
        """The people here, and a button for viewers to ask for control."""
        with html.Div(classes="d-flex align-center mr-2", style="gap: .5rem;"):
            v3.VChip(
                "{{ hub_viewing }}",
                v_if=("hub_role === 'view'",),
                color="warning",
                size="small",
                prepend_icon="mdi-eye-outline",
            )
            v3.VBtn(
                "{{ hub_asking.includes(hub_user) ? 'Asked for control' : 'Ask for control' }}",
                v_if=("hub_role === 'view'",),
                size="small",
                variant="tonal",
                prepend_icon="mdi-hand-back-right-outline",
                disabled=("hub_asking.includes(hub_user)",),
                click="window.slicerhub.ask()",
            )
            v3.VChip(
                "{{ person.user }} · {{ person.role }}",
                v_for="person in hub_people.length > 1 ? hub_people : []",
                key=("person.user",),
                size="small",
                variant=("person.user === hub_user ? 'flat' : 'tonal'",),
            )

    def build_asking(self) -> None:
        """A banner for each request, for people with control."""
        with (
            v3.VAlert(
                v_for="user in hub_role !== 'view' ? hub_asking : []",
                key=("user",),
                type="info",
                variant="elevated",
                density="comfortable",
            ),
            html.Div(classes="d-flex align-center", style="gap: 1rem;"),
        ):
            html.Span("{{ user }} asks for control.")
            v3.VBtn(
                "Give control …",
                v_if=("hub_role === 'owner' && hub_share",),
                href=("hub_share",),
                raw_attrs=['target="_blank"'],
            )
            v3.VBtn("Dismiss", click=(self._dismiss, "[user]"), variant="text")

    def _dismiss(self, user: str) -> None:
        self._state.hub_asking = [each for each in self._state.hub_asking if each != user]
