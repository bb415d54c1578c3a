"""Vendors what runs the explorer's decoder while a wheel is built, or this checkout is installed in place."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class VendoringHook(BuildHookInterface[Any]):
    """Fetches two files of an npm package into `sigmae/explorer/vendor`, by the package's own code."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Where they cannot be had the package is built without them, and `sigmae explore` fetches them."""
        sys.path.insert(0, str(Path(self.root) / "src"))
        from sigmae.errors import SigmaeError
        from sigmae.explorer.vendoring import HOME, vendor

        try:
            vendor(HOME)
        except (SigmaeError, OSError) as error:
            self.app.display_warning(f"Built without the explorer's runtime, which is fetched when it is used. {error}")
        build_data["artifacts"].append("/src/sigmae/explorer/vendor/*.gz")
