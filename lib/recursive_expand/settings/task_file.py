"""Reading task.yaml, a preset and `--conf` values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from recursive_expand.errors import InputError
from recursive_expand.settings.names import SECTIONS, merge, nest, no_setting
from recursive_expand.settings.settings import Settings, reason

OUR_OTHER_KEYS = frozenset({"workspace", "ledger"})
"""`--conf` keys that are no settings: where the workspace and the ledger are."""
MONAI_LABEL_KEYS = frozenset(
    {
        # The package reads these of every app.
        *("auth_token", "models", "preload", "server_mode", "zoo_repo", "zoo_source"),
        # Its sample apps read these; users have them in their start scripts.
        *("bundles", "epistemic_enabled", "epistemic_samples", "heuristic_planner", "pretrained_path", "sam2"),
        *("scribbles", "skip_scoring", "skip_strategies", "skip_trainers", "spatial_size", "target_spacing"),
        "use_pretrained_model",
    }
)
"""`--conf` keys of MONAI Label and its sample apps: they pass without effect."""


def load_settings(path: Path, conf: Mapping[str, Any] | None = None) -> Settings:
    """Read task.yaml, apply a preset and the server's `--conf` values.

    Args:
        path: the task.yaml file: settings by their names, those of `network`, `refinement` and `training` in these
            sections; `preset`, the default preset's name; `presets`, each one's name to its own settings, which go
            before the common ones.
        conf: `--conf KEY VALUE` pairs, which go before both. KEY is a setting's name without its section (`epochs`,
            `channels`, `mode`) or `preset`. Keys of MONAI Label and `workspace` and `ledger` are left to others.

    Returns:
        The settings.

    Raises:
        InputError: for an unreadable file, an unknown preset, a name that is no setting or a value that does not
            fit, naming the setting.
    """
    conf = dict(conf or {})
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path.name, f"not readable as YAML ({error})") from error
    if not isinstance(raw, dict):
        raise InputError(path.name, "must be a mapping of settings")
    presets = raw.pop("presets", None) or {}
    preset = conf.pop("preset", None) or raw.get("preset")
    if not isinstance(presets, dict):
        raise InputError(path.name, f"presets = {presets!r} must map each preset's name to its settings")
    if not isinstance(preset, str) or preset not in presets:
        known = ", ".join(sorted(map(str, presets)))
        raise InputError(path.name, f"there is no preset {preset!r}; choose one of {known}")
    own = presets[preset] or {}
    if not isinstance(own, dict):
        raise InputError(path.name, f"preset {preset!r} must be a mapping of settings")
    nested = merge(merge(_nest_file(path, raw), _nest_file(path, own)), _nest_conf(conf))
    nested["method"]["preset"] = preset
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        raise InputError(path.name, reason(error)) from error


def preset_names(path: Path) -> tuple[str, ...]:
    """Names of the presets that a task.yaml file has, in its order; none if it cannot be read."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ()
    presets = raw.get("presets") if isinstance(raw, dict) else None
    return tuple(map(str, presets)) if isinstance(presets, dict) else ()


def _nest_file(path: Path, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    try:
        return nest(values)
    except KeyError as error:
        raise InputError(path.name, f"{error.args[0]!r} {no_setting(str(error.args[0]))}") from error


def _nest_conf(conf: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    own = {key: _parsed(value) for key, value in conf.items() if key not in MONAI_LABEL_KEYS | OUR_OTHER_KEYS}
    for section in SECTIONS.keys() & own.keys():
        known = ", ".join(SECTIONS[section].model_fields)
        raise InputError(f"--conf {section}", f"is a section; give one of its settings: {known}")
    try:
        return nest(own)
    except KeyError as error:
        key = str(error.args[0])
        raise InputError(f"--conf {key}", no_setting(key, also=OUR_OTHER_KEYS | {"preset"})) from error


def _parsed(value: Any) -> Any:
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value  # left to the setting's own check
