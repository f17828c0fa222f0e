"""Enough of curl for the lines that the console shows, for machines that have none: -s -N -H -d URL."""

import sys

import httpx


def main(arguments: list[str]) -> int:
    """Print the body of the answer; the exit code of curl."""
    headers: dict[str, str] = {}
    body, url = "", ""
    rest = iter(arguments)
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(":")
            headers[name] = value.strip()
        elif word == "-d":
            body = next(rest)
        elif word.startswith("-"):
            if set(word[1:]) - set("sN"):
                return 2
        else:
            url = word
    try:
        answer = httpx.request("POST" if body else "GET", url, headers=headers, content=body, trust_env=False)
    except httpx.HTTPError:
        return 7
    sys.stdout.write(answer.text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
