"""Lets an answer leave only when nothing is under way, where nothing may go on after it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.turns import Turns
from receiver.web.limits import ENDLESS

ANSWER_S = 4.0  # of the 5 s within which a callback is answered; what then came of it is recorded in the rest


class InTurn:
    """Gives each request a turn: what it polls and delivers ends within it, what it hands over is waited for."""

    def __init__(self, app: ASGIApp, turns: Turns) -> None:
        self._app = app
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(
            ENDLESS
        ):  # who only reads along keeps nobody from resting
            await self._app(scope, receive, send)
            return
        async with self._turns.turn(ANSWER_S) as turn:

            async def held(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await self._turns.over(turn)
                await send(message)

            await self._app(scope, receive, held)
