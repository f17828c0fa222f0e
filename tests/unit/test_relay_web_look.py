"""How far one gets on the way to a far side, and TLS."""

from collections.abc import Sequence
from pathlib import Path

from core.api.relay_targets import TargetFinding, TargetStep
from core.api.relay_tasks import AttemptResult
from tests.support.far_side import far_side, says, silent
from tests.support.loopback_tls import served, trusting
from tests.support.relay_web import LIMIT_S, LOOPBACK, SHORT_S, Names, failed, web_of


def steps(findings: Sequence[TargetFinding]) -> dict[TargetStep, bool | None]:
    """What came of each step."""
    return {finding.step: finding.is_ok for finding in findings}


async def test_a_far_side_proves_itself_by_a_certificate_for_the_name_that_was_meant(tmp_path: Path) -> None:
    """The address that is called is the checked one, the name in the handshake that of the binding."""
    names = Names(bot_example=["127.0.0.1"], other_example=["127.0.0.1"])
    async with far_side(says(200), tls=served(tmp_path)) as far:
        async with web_of(names, tls=trusting()) as web:
            url = f"https://bot.example:{far.port}/"
            assert (await web.call("GET", url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)).status == 200
            error = await failed(web, f"https://other.example:{far.port}/")
            assert (error.result, error.is_ours) == (AttemptResult.UNDELIVERED, False)
            assert "certificate is not accepted" in str(error)
            findings = await web.look(url, networks=LOOPBACK, limit_s=LIMIT_S)
            assert steps(findings) == {TargetStep.ADDRESS: True, TargetStep.CONNECT: True, TargetStep.TLS: True}
            assert "certificate of bot.example until" in findings[-1].detail
            findings = await web.look(f"https://other.example:{far.port}/", networks=LOOPBACK, limit_s=LIMIT_S)
            assert steps(findings)[TargetStep.TLS] is False
            assert "not accepted" in findings[-1].detail
        async with web_of(names) as web:
            error = await failed(web, url)
            assert error.result is AttemptResult.UNDELIVERED
            assert "self-signed" in str(error)


async def test_a_look_says_how_far_it_came() -> None:
    """Address, connection and TLS, each with its own reason."""
    names = Names(bot_example=["127.0.0.1"], mixed_example=["10.0.0.1", "127.0.0.1"])
    async with far_side(silent) as far, web_of(names) as web:

        async def look(url: str, networks: Sequence[str] = LOOPBACK) -> list[tuple[bool | None, str]]:
            findings = await web.look(url, networks=networks, limit_s=SHORT_S)
            return [(finding.is_ok, finding.detail) for finding in findings]

        assert await look("ftp://bot.example/") == [(False, "ftp cannot be called: http and https can")]
        assert (await look("http://unknown.example/"))[0][1].startswith("the name unknown.example cannot be resolved")
        assert (await look(f"http://bot.example:{far.port}", ()))[0][1].startswith("bot.example may not be called")
        address, connect, tls = await look(f"http://mixed.example:{far.port}")
        assert address == (True, "127.0.0.1; 10.0.0.1 is private")
        assert connect == (True, f"127.0.0.1 port {far.port}")
        assert tls[0] is None
        assert (await look("http://bot.example:1"))[1] == (
            False,
            "no connection to 127.0.0.1 port 1: connection refused",
        )
        assert (await look(f"https://bot.example:{far.port}"))[2] == (False, "no answer to the greeting in time")
        assert not far.heard


async def test_a_look_behind_a_proxy_checks_the_address_and_leaves_the_rest_to_it() -> None:
    """What the proxy reaches is not seen from here."""
    async with web_of(Names(), proxy="http://127.0.0.1:1") as web:
        findings = await web.look("http://8.8.8.8/", networks=(), limit_s=SHORT_S)
        assert steps(findings) == {TargetStep.ADDRESS: True, TargetStep.CONNECT: None}
        findings = await web.look("http://nowhere.example/", networks=(), limit_s=SHORT_S)
        assert steps(findings) == {TargetStep.ADDRESS: None}


async def test_a_proxy_that_cannot_be_one_is_named() -> None:
    """Its password is not."""
    async with web_of(proxy="socks5://me:s3cret@127.0.0.1:1") as web:
        error = await failed(web, "http://8.8.8.8/")
        assert error.is_ours
        assert "relay.proxy" in str(error)
        assert "s3cret" not in str(error)
