"""A bot made with aiogram, run by its own Python: `python telegram_aiogram.py URL TOKEN`.

It does what Ann tells it and prints one line of JSON for everything that it saw.
"""

import asyncio
import io
import json
import sys

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.filters import Command
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    ChatMemberUpdated,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    ReplyParameters,
)

dispatcher = Dispatcher()


def show(what: str, **more: object) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps({"what": what, **more}) + "\n")
    sys.stdout.flush()


@dispatcher.message(Command("ask"))
async def ask(message: Message) -> None:
    """A question with two buttons, then a sign of typing."""
    rows = [
        [
            InlineKeyboardButton(text="Yes", callback_data="t-yes", style="success"),
            InlineKeyboardButton(text="No", callback_data="t-no", style="danger"),
        ]
    ]
    sent = await message.answer(
        "<b>May</b> it &amp; should it?", parse_mode="HTML", reply_markup=InlineKeyboardMarkup(inline_keyboard=rows)
    )
    await message.bot.send_chat_action(message.chat.id, "typing")
    kinds = [entity.type for entity in sent.entities or []]
    show("asked", text=sent.text, kinds=kinds, html=sent.html_text)


@dispatcher.callback_query()
async def pressed(query: CallbackQuery) -> None:
    """An answer to a press, which is not taken twice; then the question is changed, which is refused twice."""
    await query.answer("noted")
    try:
        await query.answer("again")
    except TelegramBadRequest as error:
        show("second answer", error=error.message)
    edited = await query.message.edit_text("It may")
    try:
        await query.message.edit_text("It may")
    except TelegramBadRequest as error:
        show("pressed", data=query.data, text=edited.text, buttons=edited.reply_markup is not None, again=error.message)


@dispatcher.message(Command("refusals"))
async def refusals(message: Message) -> None:
    """What the server must not take."""
    bot, chat, found = message.bot, message.chat.id, {}
    calls = {
        "long": lambda: bot.send_message(chat, "🙂" * 2049),
        "longest": lambda: bot.send_message(chat, "🙂" * 2048),
        "empty": lambda: bot.send_message(chat, " "),
        "markup": lambda: bot.send_message(chat, "<b>x</i>", parse_mode="HTML"),
        "chat": lambda: bot.send_message(404, "x"),
        "reply": lambda: bot.send_message(chat, "x", reply_parameters=ReplyParameters(message_id=99_999)),
        "topic": lambda: bot.send_message(chat, "x", message_thread_id=77),
        "button": lambda: bot.send_message(
            chat,
            "x",
            reply_markup=InlineKeyboardMarkup(
                inline_keyboard=[[InlineKeyboardButton(text="x", callback_data="x" * 65)]]
            ),
        ),
        "file": lambda: bot.get_file("nothing"),
        "edit": lambda: bot.edit_message_text("x", chat_id=chat, message_id=message.message_id),
        "command": lambda: bot.set_my_commands([BotCommand(command="Not-one", description="x")]),
        "action": lambda: bot.send_chat_action(chat, "dancing"),
    }
    for name, call in calls.items():
        try:
            await call()
        except TelegramBadRequest as error:
            found[name] = error.message
        else:
            found[name] = "ok"
    show("refusals", **found)


@dispatcher.message(Command("failures"))
async def failures(message: Message) -> None:
    """Refusals that have an exception of their own. The server has been told which ones to make."""
    for chat in (message.chat.id, 501, 502):
        try:
            await message.bot.send_message(chat, "x")
        except TelegramRetryAfter as error:
            show("flood", wait_s=error.retry_after)
        except TelegramForbiddenError as error:
            show("forbidden", error=error.message)
        except TelegramMigrateToChat as error:
            show("moved", to=error.migrate_to_chat_id)


@dispatcher.message(Command("menu"))
async def menu(message: Message) -> None:
    """The commands of the bot, put and read again."""
    await message.bot.set_my_commands([BotCommand(command="new", description="begin anew")])
    found = await message.bot.get_my_commands()
    show("menu", commands=[(item.command, item.description) for item in found])


@dispatcher.message(F.document)
async def document(message: Message) -> None:
    """A file, sent back under another name."""
    kept = io.BytesIO()
    await message.bot.download(message.document, kept)
    back = BufferedInputFile(kept.getvalue()[::-1], "back.bin")
    sent = await message.answer_document(back, caption="here it is")
    show("document", name=message.document.file_name, size=len(kept.getvalue()), back=sent.document.file_size)


@dispatcher.message(F.photo)
async def photo(message: Message) -> None:
    """A photo in its sizes."""
    show("photo", widths=[size.width for size in message.photo], caption=message.caption)


@dispatcher.message(Command("quit"))
async def stop(message: Message) -> None:
    """The end."""
    show("quit")
    await dispatcher.stop_polling()


@dispatcher.message()
async def echo(message: Message) -> None:
    """Everything else is said again, in its topic and as a reply."""
    sent = await message.reply(message.text or "?")
    answered = message.reply_to_message
    show(
        "echo",
        text=message.text,
        topic=message.message_thread_id if message.is_topic_message else None,
        answered=answered.text if answered else None,
        back=sent.reply_to_message.message_id == message.message_id,
        sender=message.from_user.full_name,
    )


@dispatcher.edited_message()
async def edited(message: Message) -> None:
    """A change."""
    show("edited", text=message.text, is_later=bool(message.edit_date))


@dispatcher.channel_post()
async def post(message: Message) -> None:
    """A post of a channel."""
    show("post", text=message.text, by=message.sender_chat.title)


@dispatcher.my_chat_member()
async def member(change: ChatMemberUpdated) -> None:
    """Somebody blocks or unblocks the bot."""
    show("member", status=str(change.new_chat_member.status))


async def main(url: str, token: str) -> None:
    """Run until told to end."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(url))
    async with Bot(token, session=session) as bot:
        me = await bot.get_me()
        show("me", id=me.id, username=me.username)
        stranger = Bot("42:nobody-knows-this-token-at-all-00000", session=session)
        try:
            await stranger.get_me()
        except (TelegramUnauthorizedError, Exception) as error:  # noqa: BLE001 - whatever it is, its name is shown
            show("stranger", error=type(error).__name__)
        await dispatcher.start_polling(bot, handle_signals=False, polling_timeout=2)
        await bot.set_webhook("https://bot.example.org/hook", secret_token="s" * 20)
        try:
            await bot.get_updates()
        except TelegramConflictError as error:
            show("conflict", error=error.message)
        found = await bot.get_webhook_info()
        show("webhook", url=found.url)
        await bot.delete_webhook()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
