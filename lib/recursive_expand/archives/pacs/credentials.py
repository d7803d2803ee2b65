"""What a PACS wants to know of us: from the environment or files, never from a command line, which `ps` shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recursive_expand.errors import InputError

PREFIX = "RECURSIVE_PACS_"


@dataclass(frozen=True)
class Credentials:
    """How to log in, and whom to trust. Nothing of it is shown by `repr`.

    Attributes:
        user, password: HTTP Basic.
        token: bearer token; goes before user and password.
        certificate, key: files of a client certificate.
        trust: a file of certificate authorities; True: the system's; False: the server's certificate is not checked.
    """

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    trust: str | bool = True

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Credentials:
        """Read RECURSIVE_PACS_USER, _PASSWORD, _TOKEN, _CERTIFICATE, _KEY, _CA and _VERIFY (`no`: do not check TLS).

        _PASSWORD_FILE and _TOKEN_FILE name files that hold them.

        Raises:
            InputError: a file is not there, or half of a pair is missing.
        """
        password, token = (_secret(environ, name) for name in ("PASSWORD", "TOKEN"))
        found = {name: environ.get(PREFIX + name, "") for name in ("USER", "CERTIFICATE", "KEY", "CA", "VERIFY")}
        if bool(found["USER"]) != bool(password):
            raise InputError(f"{PREFIX}USER", "needs a password beside it, and a password a user")
        for name in ("CERTIFICATE", "KEY", "CA"):
            if found[name] and not Path(found[name]).is_file():
                raise InputError(PREFIX + name, "names no file")
        if found["KEY"] and not found["CERTIFICATE"]:
            raise InputError(f"{PREFIX}KEY", f"needs {PREFIX}CERTIFICATE beside it")
        checked = found["VERIFY"].strip().lower() not in ("0", "no", "false", "off")
        trust: str | bool = (found["CA"] or True) if checked else False
        return cls(found["USER"], password, token, found["CERTIFICATE"], found["KEY"], trust)


def _secret(environ: Mapping[str, str], name: str) -> str:
    file = environ.get(f"{PREFIX}{name}_FILE", "")
    if not file:
        return environ.get(PREFIX + name, "")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{PREFIX}{name}_FILE", "names a file that cannot be read") from error
