"""The connection to a PACS: every fault of network or server becomes one line, and one of two kinds of error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import Dataset

from recursive_expand.archives.pacs.credentials import Credentials
from recursive_expand.dicom.files import values_as_they_are
from recursive_expand.errors import InputError, Unreachable

CONNECT_SECONDS, READ_SECONDS = 3.0, 60.0
"""How long a connection may take, and how long nothing may come on it."""
PAGE = 500
"""Entries asked for at once."""
AS_STORED = (("application/dicom", "*"),)
"""Any transfer syntax: Orthanc answers 500 for JPEG 2000 when it is asked to transcode."""

_MEND = {
    401: "refuses our credentials",
    403: "does not allow it to us",
    405: "does not know it",
    413: "finds it too large",
    429: "is asked too often",
    507: "has no space left",
}

# It logs addresses at INFO, at DEBUG whatever it sends, and what the PACS says in a Warning header.
logging.getLogger("dicomweb_client").setLevel(logging.ERROR)


class Gone(InputError):
    """The PACS does not have it."""


class Refused(Unreachable):
    """The PACS does not let us."""


class Pacs:
    """A DICOMweb service. Threads may share it.

    Args:
        url: where it is, with the prefix of its services: `https://pacs.example/dicom-web`.
        credentials: how to log in.

    Raises:
        InputError: an address that is none, or one with a password in it.
    """

    def __init__(self, url: str, credentials: Credentials | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("the PACS's address", "is none; give one such as https://pacs.example/dicom-web")
        if parts.username or parts.password or parts.query:
            raise InputError(
                f"the address of {parts.hostname}", "holds a password or a query; give credentials in the environment"
            )
        self.url = url.rstrip("/")
        self.name = parts.netloc
        self._credentials = credentials or Credentials()
        self._local = threading.local()

    def pages(
        self, level: str, filters: dict[str, str], fields: Sequence[str], **where: str
    ) -> Iterator[list[dict[str, Any]]]:
        """What a search finds, page by page, in DICOM JSON; entries that a page repeats are left out.

        Args:
            level: `series` or `instances`.
            filters: keyword to value.
            fields: keywords of further attributes.
            where: study_instance_uid, series_instance_uid.

        Raises:
            Unreachable: the PACS cannot be asked now.
        """
        key = {"series": "0020000E", "instances": "00080018"}[level]
        search = f"search_for_{level}"
        seen: set[str] = set()
        offset = 0
        while True:
            with self._faults("a search"), values_as_they_are():
                page = getattr(self._client, search)(
                    **where, limit=PAGE, offset=offset, fields=list(fields), search_filters=filters
                )
                uids = [str(entry[key]["Value"][0]) for entry in page]
            new = [entry for uid, entry in zip(uids, page, strict=True) if uid not in seen]
            seen.update(uids)
            if not new:
                return
            yield new
            offset += len(page)
            if len(page) < PAGE:
                return

    def metadata(self, study: str, series: str) -> list[Dataset]:
        """Headers of a series' instances, without pixels.

        Raises:
            Gone: it is not there.
            Unreachable: the PACS cannot be asked now.
        """
        with self._faults("headers"), values_as_they_are():
            return [Dataset.from_json(item, _no_bulk) for item in self._client.retrieve_series_metadata(study, series)]

    def instances(self, study: str, series: str) -> Iterator[Dataset]:
        """A series' instances as they are stored, by one request, as they come.

        Raises:
            Gone, Unreachable: see `metadata`; also in the middle.
        """
        with self._faults("a series"), values_as_they_are():
            yield from self._client.iter_series(study, series, media_types=AS_STORED)

    def instance(self, study: str, series: str, instance: str) -> Dataset:
        """One instance as it is stored.

        Raises:
            Gone, Unreachable: see `metadata`.
        """
        with self._faults("an instance"), values_as_they_are():
            return self._client.retrieve_instance(study, series, instance, media_types=AS_STORED)

    def store(self, study: str, datasets: Sequence[Dataset]) -> None:
        """Store instances; that an answer says so proves nothing: read them back.

        Raises:
            InputError: the PACS refused one of them, with its reason.
            Unreachable: the PACS cannot be asked now.
        """
        with self._faults("storing"):
            answer = self._client.store_instances(datasets, study)
        for item in answer.get("FailedSOPSequence") or []:
            raise InputError(self.name, f"refused an object (failure reason {int(item.get('FailureReason') or 0):04X})")

    def request(self, method: str, address: str, **options: Any) -> requests.Response:
        """Any request to the server's own interface, beside DICOMweb.

        Raises:
            Gone, Unreachable: see `metadata`.
        """
        with self._faults("a request"):
            answer = self._client._session.request(method, address, **options)
            answer.raise_for_status()
            return answer

    @property
    def _client(self) -> DICOMwebClient:
        client = getattr(self._local, "client", None)
        if client is None:
            client = DICOMwebClient(self.url, session=_session(self._credentials), permissive_uid=True)
            client.set_http_retry_params(retry=False)  # the outbox and the conductor try again
            self._local.client = client
        return client

    @contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        """Never the library's own text: addresses and answers may hold more than UIDs."""
        try:
            yield
        except (InputError, Unreachable):
            raise
        except requests.HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            if status in (404, 410):
                raise Gone(self.name, f"does not have it ({what} answered {status})") from None
            kind = Refused if status in (401, 403, 405) else Unreachable
            raise kind(f"{self.name} {_MEND.get(status, 'fails')}: {what} answered {status}") from None
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                why = "its certificate is not verified; name its authority's file in RECURSIVE_PACS_CA"
            else:
                why = "TLS fails; it may want a client certificate (RECURSIVE_PACS_CERTIFICATE)"
            raise Unreachable(f"{self.name} cannot be reached: {why}") from None
        except requests.Timeout:
            raise Unreachable(f"{self.name} did not answer in time ({what})") from None
        except requests.RequestException as error:
            raise Unreachable(f"{self.name} cannot be reached, or broke off ({what}: {type(error).__name__})") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError) as error:
            raise Unreachable(f"{self.name} answered {what} with something else ({type(error).__name__})") from None
        except Exception as error:  # what pydicom makes of half an object
            raise Unreachable(f"{self.name} answered {what} in a damaged way ({type(error).__name__})") from None


class _TimedSession(requests.Session):
    """Waits for nothing longer than it has to."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        options.setdefault("timeout", (CONNECT_SECONDS, READ_SECONDS))
        return super().request(*arguments, **options)


def _session(credentials: Credentials) -> requests.Session:
    session = _TimedSession()
    session.trust_env = False  # a .netrc would replace the token
    session.verify = credentials.trust
    if credentials.certificate:
        session.cert = (credentials.certificate, credentials.key) if credentials.key else credentials.certificate
    if credentials.token:
        session.headers["Authorization"] = f"Bearer {credentials.token}"
    elif credentials.user:
        session.auth = (credentials.user, credentials.password)
    return session


def _no_bulk(*_: object) -> bytes:
    return b""
