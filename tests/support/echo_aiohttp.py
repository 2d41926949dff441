"""A WebSocket echo on aiohttp; says `port N` on its first line, ends when it is told to."""

import asyncio

from aiohttp import WSMsgType, web


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Every message back."""
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def main() -> None:
    """Serve for ever."""
    application = web.Application()
    application.router.add_get("/{rest:.*}", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    print(f"port {port}", flush=True)  # noqa: T201 - a program of its own
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
