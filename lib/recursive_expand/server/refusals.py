"""Refusals as HTTP answers: a status code and the sentence a person needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from recursive_expand.errors import DiskFull, InputError, RecursiveExpandError, Unreachable, out_of_space
from recursive_expand.expand.judging import Unnamed
from recursive_expand.ledger import LedgerError, NotYours, UnknownCase, UnknownVerdict
from recursive_expand.review import AmbiguousVerdict


@contextmanager
def as_http() -> Iterator[None]:
    """Turn the library's refusals into HTTP errors.

    404 unknown, 403 not yours, 409 in the way, 422 unusable, 503 the archive is down, 507 no space left.
    """
    try:
        yield
    except DiskFull as error:
        raise HTTPException(507, str(error)) from error
    except OSError as error:
        if not out_of_space(error):
            raise
        raise HTTPException(507, "the server's disk is full; make space and send it again") from error
    except (UnknownCase, UnknownVerdict) as error:
        raise HTTPException(404, str(error)) from error
    except NotYours as error:
        raise HTTPException(403, str(error)) from error
    except LedgerError as error:
        raise HTTPException(409, str(error)) from error
    except (InputError, AmbiguousVerdict, Unnamed) as error:
        raise HTTPException(422, str(error)) from error
    except Unreachable as error:
        raise HTTPException(503, str(error)) from error
    except RecursiveExpandError as error:
        raise HTTPException(409, str(error)) from error
