"""A new plugin's names, and its files as they are written: valid Python and TOML whatever they are called."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.errors import AxisorError
from axisor_executor.new_plugin import Names, Texts, core_range, make, name_plugin
from axisor_executor.new_plugin.names import IMPORTED, LONGEST, OURS

ROOT = Path(__file__).parents[2]
TEXTS = Texts("Calm Exit", "Closes calmly.")


def refused(name: str, code: str = "plugin_name_invalid", *, installed: dict[str, str] | None = None) -> str:
    with pytest.raises(AxisorError) as caught:
        name_plugin(name, installed=installed or {})
    assert caught.value.code == code
    return caught.value.message


class TestNames:
    @pytest.mark.parametrize("name", ["calm_exit", "calm-exit"])
    def test_one_name_in_every_spelling(self, name: str) -> None:
        wanted = Names("calm_exit", "calm_exit", "axisor_calm_exit", "axisor-calm-exit", "CalmExit")
        assert name_plugin(name, installed={}) == wanted

    def test_a_type_of_its_own(self) -> None:
        names = name_plugin("calm_exit", automation_type="exit", installed={})
        assert (names.type, names.name) == ("exit", "calm_exit")

    @pytest.mark.parametrize(
        ("name", "close"),
        [
            ("Calm Exit", "calm_exit"),
            ("CalmExit", "calm_exit"),
            ("calm__exit", "calm_exit"),
            ("../calm", "calm"),
            ("calm.exit\n", "calm_exit"),
            ("x" * (LONGEST + 1), "x" * LONGEST),
        ],
    )
    def test_others_are_refused_with_one_that_would_do(self, name: str, close: str) -> None:
        assert refused(name).endswith(f"; how about {close}?")

    @pytest.mark.parametrize("name", ["", "7up", "-", "é", "_"])
    def test_where_none_is_near(self, name: str) -> None:
        assert "how about" not in refused(name)

    @pytest.mark.parametrize("name", ["class", "none", "true", "lambda", "exception", "runtime_error"])
    def test_words_of_python(self, name: str) -> None:
        assert "a word of Python" in refused(name)

    @pytest.mark.parametrize("name", ["act", "close_position", "automation", "handler_contract"])
    def test_names_that_the_generated_code_uses(self, name: str) -> None:
        assert "plugins import" in refused(name)

    def test_the_prefix_is_not_given(self) -> None:
        assert refused("axisor-calm-exit").endswith(": calm_exit")

    @pytest.mark.parametrize("name", sorted(OURS))
    def test_names_of_the_house(self, name: str) -> None:
        assert f"axisor_{name}" in refused(name, "plugin_name_taken")
        with pytest.raises(AxisorError, match="are those of a plugin of the house"):
            name_plugin("calm_exit", automation_type=name, installed={})

    def test_all_of_the_house_are_known(self) -> None:
        folders = {path.parent.name for path in ROOT.glob("*/*/pyproject.toml")}
        assert folders | {"executor"} == OURS

    def test_types_that_are_there(self) -> None:
        installed = {"calm_exit": "axisor-other 1.0 [other]"}
        assert "axisor-other 1.0 [other]" in refused("calm_exit", "plugin_name_taken", installed=installed)
        assert name_plugin("calm_exit", automation_type="calmer", installed=installed).type == "calmer"


class TestTexts:
    @pytest.mark.parametrize("text", ["", "  ", "two\nlines", "bell\a", "x" * 101])
    @pytest.mark.parametrize("field", ["title", "description", "author"])
    def test_one_printable_line(self, field: str, text: str) -> None:
        with pytest.raises(AxisorError, match=f"the {field} must be one line") as caught:
            Texts(**{"title": "T", "description": "D", field: text})
        assert caught.value.code == "plugin_text_invalid"

    @pytest.mark.parametrize("author", ["Doe, Jane", "<jane@example.org>", "Jane <jane>", "Jane <a@b> <c@d>"])
    def test_an_author_that_metadata_could_not_tell(self, author: str) -> None:
        with pytest.raises(AxisorError, match="without a comma"):
            Texts("T", "D", author)


@pytest.mark.parametrize(
    ("version", "wanted"),
    [("0.1.0", ">=0.1,<0.2"), ("0.9.3", ">=0.9,<0.10"), ("1.0.0", ">=1.0,<2"), ("2.14.1.dev3", ">=2.14,<3")],
)
def test_the_range_of_the_core_ends_before_what_breaks(version: str, wanted: str) -> None:
    assert core_range(version) == wanted


class TestFiles:
    @staticmethod
    def made(folder: Path, texts: Texts = TEXTS) -> dict[str, str]:
        names = name_plugin("calm_exit", installed={})
        return {str(path): (folder / path).read_text(encoding="utf-8") for path in make(folder, names, texts)}

    def test_what_it_says_is_what_is_there(self, tmp_path: Path) -> None:
        told = self.made(tmp_path / "new").keys()
        there = {str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*") if path.is_file()}
        assert told == there
        assert {"pyproject.toml", "README.md", ".gitignore", "axisor_calm_exit/py.typed"} <= there

    def test_no_class_can_be_called_as_what_is_imported(self, tmp_path: Path) -> None:
        imported = {
            alias.name
            for path, text in self.made(tmp_path).items()
            if path.endswith(".py")
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom) and node.module != "__future__"
            for alias in node.names
            if alias.name[0].isupper()
        }
        assert imported - {"CalmExit"} == IMPORTED

    printable = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=60)

    @given(title=printable.filter(str.strip), description=printable.filter(str.strip))
    def test_any_text_comes_out_as_it_was_given(
        self, tmp_path_factory: pytest.TempPathFactory, title: str, description: str
    ) -> None:
        files = self.made(tmp_path_factory.mktemp("made"), Texts(title, description, 'Jo "J" Doe <jo@example.org>'))
        project = tomllib.loads(files["pyproject.toml"])["project"]
        assert project["description"] == description
        assert project["authors"] == [{"name": 'Jo "J" Doe', "email": "jo@example.org"}]
        assigned = [
            node for node in ast.walk(ast.parse(files["axisor_calm_exit/__init__.py"])) if isinstance(node, ast.Assign)
        ]
        (shown,) = [
            ast.literal_eval(node.value)
            for node in assigned
            if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "title"
        ]
        assert shown == title

    def test_nothing_is_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").touch()
        with pytest.raises(AxisorError, match="is not empty") as caught:
            self.made(tmp_path)
        assert caught.value.code == "folder_in_use"
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_new_repository_will_do(self, tmp_path: Path) -> None:
        (tmp_path / ".git").mkdir()
        assert self.made(tmp_path)

    def test_where_a_file_is(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(AxisorError) as caught:
            self.made(tmp_path / "file")
        assert caught.value.code == "folder_unusable"
