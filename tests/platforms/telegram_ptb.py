"""A bot made with python-telegram-bot, run by its own Python: `python telegram_ptb.py URL TOKEN`.

It does what Ann tells it and prints one line of JSON for everything that it saw.
"""

import asyncio
import json
import sys

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters, Update
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, RetryAfter
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, MessageHandler, filters

ended = asyncio.Event()


def show(what: str, **more: object) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps({"what": what, **more}) + "\n")
    sys.stdout.flush()


async def ask(update: Update, context: object) -> None:
    """A question with a button, and a sign of typing."""
    rows = [[InlineKeyboardButton("Yes", callback_data="t-yes")]]
    sent = await update.message.reply_text("<i>May</i> it?", parse_mode="HTML", reply_markup=InlineKeyboardMarkup(rows))
    await update.message.chat.send_action("typing")
    show("asked", text=sent.text, html=sent.text_html)


async def pressed(update: Update, context: object) -> None:
    """The answer to a press."""
    query = update.callback_query
    await query.answer("noted")
    edited = await query.edit_message_text("It may")
    try:
        await query.edit_message_text("It may")
    except BadRequest as error:
        show("pressed", data=query.data, text=edited.text, again=error.message)


async def failures(update: Update, context: object) -> None:
    """Refusals that have an exception of their own."""
    for chat in (update.message.chat_id, 501, 502):
        try:
            await update.get_bot().send_message(chat, "x")
        except RetryAfter as error:
            wait = error.retry_after
            show("flood", wait_s=int(wait if isinstance(wait, int) else wait.total_seconds()))
        except Forbidden as error:
            show("forbidden", error=error.message)
        except ChatMigrated as error:
            show("moved", to=error.new_chat_id)
    try:
        await update.message.reply_text("x" * 4097)
    except BadRequest as error:
        show("long", error=error.message)
    try:
        await update.get_bot().send_message(
            update.message.chat_id, "x", reply_parameters=ReplyParameters(message_id=99_999)
        )
    except BadRequest as error:
        show("reply", error=error.message)


async def document(update: Update, context: object) -> None:
    """A file, sent back."""
    file = await update.message.document.get_file()
    content = bytes(await file.download_as_bytearray())
    sent = await update.message.reply_document(content[::-1], filename="back.bin", caption="here it is")
    show("document", name=update.message.document.file_name, size=len(content), back=sent.document.file_size)


async def echo(update: Update, context: object) -> None:
    """Everything else."""
    message = update.effective_message
    if update.edited_message is not None:
        show("edited", text=message.text)
        return
    sent = await message.reply_text(message.text, do_quote=True)
    topic = message.message_thread_id if message.is_topic_message else None
    show("echo", text=message.text, topic=topic, back=sent.reply_to_message.message_id == message.message_id)


async def stop(update: Update, context: object) -> None:
    """The end."""
    show("quit")
    ended.set()


async def main(url: str, token: str) -> None:
    """Run until told to end."""
    made = Application.builder().token(token).base_url(f"{url}/bot").base_file_url(f"{url}/file/bot").build()
    made.add_handler(CommandHandler("ask", ask))
    made.add_handler(CommandHandler("failures", failures))
    made.add_handler(CommandHandler("quit", stop))
    made.add_handler(CallbackQueryHandler(pressed))
    made.add_handler(MessageHandler(filters.Document.ALL, document))
    made.add_handler(MessageHandler(filters.TEXT, echo))
    async with made:
        show("me", id=made.bot.id, username=made.bot.username)
        await made.start()
        await made.updater.start_polling(timeout=2, poll_interval=0.0)
        await ended.wait()
        await made.updater.stop()
        await made.stop()
        await made.bot.set_webhook("https://bot.example.org/hook", secret_token="s" * 20)
        try:
            await made.bot.get_updates()
        except Conflict as error:
            show("conflict", error=error.message)
        await made.bot.delete_webhook()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
