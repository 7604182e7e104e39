"""The one thing that pyproject.toml cannot say: wheels carry hardware/lava's sources as neurometa/_lava, see `neurometa.export.lava`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

LAVA = Path("hardware") / "lava"
"""As in MANIFEST.in, which puts the same files into the sdist."""


class BuildWithLava(build_py):
    """Copies the files into what is built; an editable install has the checkout's own."""

    def run(self) -> None:
        """Build as always, then copy."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "neurometa" / "_lava"
        shutil.rmtree(target, ignore_errors=True)  # a build before this one may have left files that are gone
        for source in self._lava():
            built = target / source.relative_to(LAVA)
            built.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, built)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """What is built, with the copies."""
        built = Path(self.build_lib) / "neurometa" / "_lava"
        copied = [] if self.editable_mode else [str(built / source.relative_to(LAVA)) for source in self._lava()]
        return super().get_outputs(include_bytecode) + copied

    def _lava(self) -> list[Path]:
        return [LAVA / "pyproject.toml", LAVA / "README.md", *sorted((LAVA / "neurometa_lava").rglob("*.py"))]


setup(cmdclass={"build_py": BuildWithLava})
