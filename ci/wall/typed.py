"""The package as mypy understands it: syntax trees whose every expression has its inferred type."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from mypy.build import build
from mypy.main import process_options
from mypy.modulefinder import BuildSource
from mypy.nodes import Expression, MypyFile, TypeInfo
from mypy.types import AnyType, ProperType, Type, get_proper_type


@final
@dataclass(frozen=True, slots=True)
class TypedModule:
    """One module of ours: its dotted name, its file relative to the root, and its syntax."""

    name: str
    file: str
    syntax: MypyFile


@final
@dataclass(frozen=True, slots=True)
class TypedTree:
    """All modules of the package with the type of every expression that mypy could reach."""

    modules: tuple[TypedModule, ...]
    types: dict[Expression, Type]
    errors: tuple[str, ...]
    library: dict[str, MypyFile]

    def type_of(self, expression: Expression) -> ProperType | None:
        """The inferred type, or None where mypy saw that nothing can get there."""
        found = self.types.get(expression)
        return None if found is None else get_proper_type(found)

    def is_any(self, expression: Expression) -> bool:
        """Whether the expression has lost its type."""
        return isinstance(self.type_of(expression), AnyType)

    def library_class(self, module: str, name: str) -> TypeInfo | None:
        """A class of somebody else's module, such as `typing` `Iterable`."""
        symbol = self.library[module].names.get(name) if module in self.library else None
        return symbol.node if symbol is not None and isinstance(symbol.node, TypeInfo) else None


def module_name(file: Path) -> str:
    """The dotted name of a file given relative to the source folder."""
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def build_typed_tree(root: Path, cache: Path) -> TypedTree:
    """Type-check `root`/src/tunnel with the options of its pyproject.toml and keep everything mypy learned."""
    source = root / "src"
    files = sorted((source / "tunnel").rglob("*.py"))
    named = [(module_name(file.relative_to(source)), file) for file in files]
    # A source given as text is always parsed and checked; one given as a path may come from the cache, without bodies.
    sources = [BuildSource(str(file), name, file.read_text(encoding="utf-8")) for name, file in named]
    config = ["--config-file", str(root / "pyproject.toml")]
    _, options = process_options([*config, "--cache-dir", str(cache), *map(str, files[:1])])
    options.export_types = True
    options.preserve_asts = True
    options.mypy_path = [str(source)]
    result = build(sources, options)
    modules = tuple(
        TypedModule(name, file.relative_to(root).as_posix(), result.files[name])
        for name, file in named
        if name in result.files
    )
    return TypedTree(modules, result.types, tuple(result.errors), result.files)
