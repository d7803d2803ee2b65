"""What a request's sender must be allowed to do, by MONAI Label's roles."""

from __future__ import annotations

from fastapi import Depends
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User

USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
"""Looks."""
ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
"""Judges."""
ADMIN = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))
"""Starts and stops rounds."""


def may_judge(user: User) -> bool:
    """Whether `ANNOTATOR` lets a user pass."""
    return not settings.MONAI_LABEL_AUTH_ENABLE or settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR in user.roles
