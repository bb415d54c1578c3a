"""A stranger's files lead nowhere else, and command no terminal."""

import json
import shutil
from zipfile import ZipFile, ZipInfo

import pytest

from sigmae.console import Display
from sigmae.data import load
from sigmae.diagnosis import Diagnosis
from sigmae.errors import SigmaeError
from sigmae.evaluation import Row
from sigmae.files import read_json, write_json
from sigmae.report import write_report
from sigmae.runs import read_run
from sigmae.studies.study import pictures_of
from sigmae.tensors import load_tensors, save_tensors

GROUP = "Files of strangers"
ESCAPES = "\x1b[31mred\x1b[0m \x9b2J \u202eevil \x07"


LINKED = ("config.json", "model.safetensors", "evaluation.json", "metrics.jsonl", "environment.json", "report.html")


@pytest.mark.promise(GROUP, "A run with links out of its folder is neither read nor written.")
@pytest.mark.parametrize("name", [*LINKED, "figures", "checkpoints", "cache", "figures/a.png", ".report.html.1.part"])
def test_a_run_whose_files_lead_out_of_it_is_refused(run, refused, tmp_path, name, record_property):
    outside = tmp_path / "outside"
    if (run / name).exists():
        shutil.move(run / name, outside)
    (run / name).symlink_to(outside)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for arguments in (["evaluate"], ["sample"], ["diagnose"], ["train", "digits", "--batch-size", 10, "--out"]):
        assert f"{run / name} is no file of {run} but leads out of it" in refused(*arguments, run)
    with pytest.raises(SigmaeError, match="leads out of it"):
        write_report(run)
    record_property("tried", 5)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_links_within_a_run_and_to_a_run_are_followed(run, tmp_path):
    (run / "again.safetensors").symlink_to("model.safetensors")
    (tmp_path / "linked").symlink_to(run)
    assert read_run(tmp_path / "linked") == read_run(run)


@pytest.mark.promise(GROUP, "No name within a file leads to a file that is written outside of the named folder.")
@pytest.mark.parametrize("name", ["../../evil", "/evil", "a/b", "", "x" * 65, "a\0b", "a\nb", ".."])
def test_a_density_cannot_be_named_after_a_path(run, refused, name):
    tensors, _ = load_tensors(run / "densities.safetensors")
    named = {key.replace("prior.", f"{name}."): tensor for key, tensor in tensors.items()}
    save_tensors(run / "densities.safetensors", named, {"densities": [name]})
    assert "a name is of up to 64 letters" in refused("evaluate", run, "--features", "random")


@pytest.mark.promise(GROUP, "No name within a file leads to a file that is written outside of the named folder.")
def test_the_own_density_of_an_evaluation_is_no_path(run):
    evaluation = json.loads((run / "evaluation.json").read_text())
    shutil.copy(run / "figures" / "samples-prior.png", run / "samples-x.png")
    (run / "evaluation.json").write_text(json.dumps(evaluation | {"density": "x/../../samples-x"}))
    assert "samples" not in pictures_of(run)


@pytest.mark.promise(GROUP, "A zip file is never unpacked to disk, whatever the names of its members say.")
def test_a_member_that_is_a_link_is_a_broken_picture(tmp_path):
    with ZipFile(tmp_path / "photos.zip", "w") as made:
        for number in range(3):
            link = ZipInfo(f"{number}.png")
            link.external_attr = 0o120777 << 16
            made.writestr(link, "/etc/passwd")
    with pytest.raises(SigmaeError, match=r"\d\.png in .*photos\.zip cannot be read as a picture"):
        load(tmp_path / "photos.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["photos.zip"]


# What is printed


@pytest.mark.promise(GROUP, "Nothing that was read from a file commands the terminal on which it is printed.")
def test_a_sentence_is_one_line_without_commands(run, refused, record_property):
    config = json.loads((run / "config.json").read_text())
    for value in ({"type": ESCAPES}, {"type": "KL", ESCAPES: 1}, {"type": f"own\n{ESCAPES}:KL"}):
        config["model"]["objective"]["latent"] = value
        (run / "config.json").write_text(json.dumps(config))
        assert refused("sample", run).isprintable()
    record_property("tried", 3)


@pytest.mark.promise(GROUP, "Nothing that was read from a file commands the terminal on which it is printed.")
def test_tables_and_notes_have_no_commands(capsys, record_property):
    display = Display()
    rows = [Row(f"{name}{ESCAPES}", f"{of}{ESCAPES}", 1.0, ESCAPES, 2, ESCAPES) for name in "ab" for of in "cde"]
    display.rows([*rows, Row(f"single{ESCAPES}", ESCAPES, 1.0, ESCAPES, 2, ESCAPES)], as_json=False)
    display.left_out({ESCAPES: ESCAPES})
    display.warning(ESCAPES)
    display.stage(ESCAPES)
    display.runs(1)(ESCAPES, ESCAPES)
    display.diagnosis(Diagnosis(ESCAPES, {ESCAPES: 1.0}, [], {ESCAPES: ESCAPES}, {ESCAPES: ESCAPES}), False)
    printed = "".join(capsys.readouterr())
    assert printed.count("evil") > 20
    assert printed.replace("\n", "").isprintable()
    record_property("tried", 7)


def test_half_a_character_in_a_name_is_written_and_printed(tmp_path, capsys):
    write_json(tmp_path / "a.json", {"source": "photos\udcff"})
    assert read_json(tmp_path / "a.json") == {"source": "photos\udcff"}
