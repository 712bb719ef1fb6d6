"""Stands for the command ``apptainer``, which is nowhere to be had here: keeps what it was asked, and isolates nothing.

A unit that it runs reads its folder where the bind would have put it. It refuses options that Apptainer does not have.
"""

import json
import os
import sys
from pathlib import Path

FLAGS = {"--containall", "--no-home", "--no-eval", "--no-privs", "--net", "--nv"}
VALUES = {"--no-mount", "--network", "--pwd", "--bind"}
PLACE = Path(sys.argv[0]).parent


def execute(words: list[str]) -> None:
    """Do as ``apptainer exec OPTIONS IMAGE PROGRAM ARGUMENTS…``."""
    environment = {"PATH": os.defpath, "HOME": "/nowhere"}
    bound = ("", "")
    while words[0].startswith("-"):
        option = words.pop(0)
        if option.startswith("--env="):
            name, _, value = option.removeprefix("--env=").partition("=")
            environment[name] = value
        elif option in VALUES:
            value = words.pop(0)
            if option == "--bind":
                source, target, mode = value.split(":")
                assert mode == "ro"
                bound = (target, source)
        elif option not in FLAGS:
            sys.exit(f"unknown flag: {option}")
    _image, _program, *arguments = words
    environment = {name: value.replace(*bound) for name, value in environment.items()}
    arguments = [bound[1] if argument == bound[0] else argument for argument in arguments]
    os.execve(sys.executable, [sys.executable, *arguments], environment)


def main() -> None:
    """Answer ``inspect`` with the labels beside this program, and run ``exec``."""
    words = sys.argv[1:]
    with (PLACE / "asked.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")
    if words[:3] == ["inspect", "--json", "--labels"]:
        labels = json.loads((PLACE / "labels.json").read_text())
        print(json.dumps({"data": {"attributes": {"labels": labels}}, "type": "container"}))
    elif words[:2] == ["--silent", "exec"]:
        execute(words[2:])
    else:
        sys.exit(f"unknown command: {words}")


if __name__ == "__main__":
    main()
