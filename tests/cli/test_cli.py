"""What the command line promises to somebody at a shell."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

import sklearn_cdul
from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.cli import main
from sklearn_cdul.datasets import list_photos, load_coco, load_csv
from sklearn_cdul.labels import apply_thresholds, find_thresholds
from tests.cli.conftest import FAST, FAST_TRAINING, NAMES


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def last_line(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.rstrip().splitlines()[-1]


def test_label_writes_what_the_labeler_gives_cut_at_its_thresholds(folder, capsys):
    code = main(["label", "photos", "--classes", "names.txt", "--out", "labels.csv", *FAST])
    assert code == 0
    assert re.fullmatch(
        r"sklearn-cdul: labels\.csv: labels of 6 photos, \d\.\d per photo", last_line(capsys)
    )
    photos = load_csv("labels.csv", classes=NAMES)
    assert photos.data == list_photos("photos")
    scores = CLIPPseudoLabeler(NAMES, grid_size=1).fit_transform(photos.data)
    expected = apply_thresholds(scores, find_thresholds(scores))
    np.testing.assert_array_equal(photos.target, expected)


def test_train_saves_a_classifier_and_predict_uses_it(folder, capsys):
    assert main(["predict", "model.joblib", "photos", "--out", "labels.csv", "--scores"]) == 0
    model = joblib.load("model.joblib")
    assert isinstance(model, CDULClassifier)
    assert model.class_names_ == NAMES
    photos = load_csv("labels.csv", classes=NAMES)
    np.testing.assert_array_equal(photos.target, model.predict(photos.data))
    scores = [[float(row[f"score:{name}"]) for name in NAMES] for row in read("labels.csv")]
    np.testing.assert_allclose(scores, model.predict_proba(photos.data), rtol=2e-3)


def test_labels_go_to_stdout_and_all_else_to_stderr(folder, capsys):
    assert main(["predict", "model.joblib", "photos", "photos/deep/a photo.jpg"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "path,labels"
    assert len(lines) == 7  # a photo that is named twice is labelled once
    assert lines[-1].startswith("photos/deep/a photo.jpg,")
    assert "labels of 6 photos" in captured.err


def test_progress_is_shown_unless_quiet(folder, capsys):
    command = ["label", "photos", "--classes", "names.txt", "--out", "labels.csv", *FAST]
    main(command)
    assert "Encoding" in capsys.readouterr().err
    main([*command, "--quiet"])
    assert capsys.readouterr().err.splitlines() == [
        "sklearn-cdul: labels.csv is there and will be replaced",
        "sklearn-cdul: labels.csv: labels of 6 photos, 1.0 per photo",
    ]
    # The classifier was trained with bars.
    main(["predict", "model.joblib", "photos", "--quiet"])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_photos_without_a_label_are_counted(folder, capsys):
    joblib.dump(joblib.load("model.joblib").set_thresholds(1.0), "strict.joblib")
    main(["predict", "strict.joblib", "photos", "--out", "labels.csv", "--quiet"])
    assert last_line(capsys).endswith("6 photos, 0.0 per photo, 6 of them without a label")


def test_an_onnx_file_takes_the_place_of_the_classifier(onnx_file, folder, capsys):
    Path("photos/page.png").write_text("<html>")
    for form in ("csv", "coco", "fiftyone", "label-studio"):
        written = []
        for model in ("same.joblib", "model.onnx"):
            command = ["predict", model, "photos", "--out", "labels", "--format", form]
            assert main(command) == 3
            written.append(Path("labels").read_text(encoding="utf-8"))
            assert "1 of 7 photos can't be used" in capsys.readouterr().err
        assert written[0] == written[1]
    assert main(["report", "model.onnx", "photos", "--out", "report.html"]) == 3
    assert "</html>" in Path("report.html").read_text(encoding="utf-8")


def test_an_onnx_file_that_cannot_be_used_is_one_line(onnx_file, folder, capsys):
    Path("text.onnx").write_text("no graph")
    for command, message in {
        "predict model.onnx photos --device cuda": "runs on the CPU only, not on --device cuda",
        "predict text.onnx photos": "text.onnx is not an ONNX file",
        "predict no.onnx photos": "there is no file no.onnx",
    }.items():
        assert main(command.split()) == 1
        assert re.search(f"error: .*{message}", last_line(capsys))


@pytest.mark.parametrize("form", ["coco", "fiftyone", "label-studio"])
def test_format_chooses_what_is_written(folder, form, capsys):
    code = main(["predict", "model.joblib", "photos", "--out", "labels.json", "--format", form])
    assert code == 0
    text = Path("labels.json").read_text(encoding="utf-8")
    if form == "coco":
        assert load_coco("labels.json").target_names == NAMES
    else:
        assert len(json.loads(text)["labels"] if form == "fiftyone" else json.loads(text)) == 6
    assert Path("labels.xml").exists() == (form == "label-studio")


def test_report_is_a_page_with_the_labels_that_are_known(folder, capsys):
    main(["predict", "model.joblib", "photos", "--out", "labels.csv", "--quiet"])
    Path("photos/page.png").write_text("<html>")
    command = ["report", "model.joblib", "photos", "--out", "report.html", "--labels", "labels.csv"]
    assert main(command) == 3
    error = capsys.readouterr().err
    assert "report.html: a report of 6 photos" in error
    assert "X[" not in error and "NaN" not in error
    assert error.count("1 of 7 photos can't be used") == error.count("page.png") == 1
    text = Path("report.html").read_text(encoding="utf-8")
    assert all(name in text for name in NAMES)
    assert "</html>" in text


def test_train_takes_observed_labels_and_writes_a_report(folder, capsys):
    known = list_photos("photos")[0]
    Path("known.csv").write_text(f"path,cake\n{known},1\n")
    command = ["train", "photos", "--classes", "names.txt", "--out", "new.joblib", *FAST_TRAINING]
    assert main([*command, "--observed", "known.csv", "--report", "report.html"]) == 0
    labels = joblib.load("new.joblib").initial_pseudo_labels_
    assert labels[0, NAMES.index("cake")] == 1
    assert (labels[1:] < 1).all()
    assert "</html>" in Path("report.html").read_text(encoding="utf-8")


def test_names_may_be_a_mapping_of_wordings(folder, capsys):
    Path("names.json").write_text(json.dumps({"sweet": ["cake", "pastry"], "green": ["salad"]}))
    code = main(["label", "photos", "--classes", "names.json", "--out", "labels.csv", *FAST])
    assert code == 0
    load_csv("labels.csv", classes=["sweet", "green"])


def test_names_may_be_in_a_file_that_powershell_wrote(folder, capsys):
    Path("names.txt").write_text("salad\ncake\n", encoding="utf-16")
    assert main(["label", "photos", "--classes", "names.txt", "--out", "o.CSV", *FAST]) == 0
    load_csv("o.CSV", classes=["salad", "cake"])


def test_bad_photos_are_listed_left_out_and_change_the_exit_code(folder, capsys):
    Path("photos/cut.jpg").write_bytes(Path(list_photos("photos")[0]).read_bytes()[:3000])
    Path("photos/page.png").write_text("<html>")
    for command in (
        ["label", "photos", "--classes", "names.txt", "--out", "labels.csv", *FAST],
        ["predict", "model.joblib", "photos", "--out", "labels.csv"],
    ):
        assert main([*command, "--quiet"]) == 3
        error = capsys.readouterr().err
        assert "2 of 8 photos can't be used" in error
        assert f"\n  {Path('photos/cut.jpg')} can't be read: image file is truncated" in error
        assert f"\n  {Path('photos/page.png')} is a web page" in error
        assert error.count("cut.jpg") == error.count("page.png") == 1
        assert len(read("labels.csv")) == 6
    for command in ("suggest model.joblib photos", "search cake photos", "duplicates photos"):
        assert main([*command.split(), "--quiet"]) == 3
        error = capsys.readouterr().err
        assert error.count("2 of 8 photos can't be used") == error.count("page.png") == 1
    assert main(["predict", "model.joblib", "photos/page.png"]) == 1
    assert last_line(capsys).endswith("error: none of the 1 photos can be used")


@pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")
def test_names_of_files_do_not_steer_the_terminal(folder, capsys):
    Path("photos/a\x1b[31mb.png").write_text("<html>")
    assert main(["predict", "model.joblib", "photos", "--out", "labels.csv", "--quiet"]) == 3
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert "\n  photos/a\\x1b[31mb.png is a web page" in error
    assert main(["predict", "model.joblib", "photos/c\x1b[31md.png"]) == 1
    assert last_line(capsys).endswith("there is no folder or photo photos/c\\x1b[31md.png")


def test_memory_keeps_what_was_encoded(folder, capsys):
    command = ["label", "photos", "--classes", "names.txt", "--out", "labels.csv", *FAST]
    assert main([*command, "--memory", "cache"]) == 0
    assert sklearn_cdul.memory.memory_size("cache") > 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("label fotos --classes names.txt", "there is no folder or photo fotos"),
        ("label empty --classes names.txt", "There is no photo in empty.*it has no files"),
        (
            "label photos --classes nams.txt",
            "there is no file nams.txt with class names.*coco, voc",
        ),
        ("label photos --classes empty.txt", "classes"),
        ("label photos --classes cut.json", "cut.json is not JSON"),
        ("label photos --classes twice.txt", "bread"),
        ("label photos --classes names.txt --out labels.json", "from its name: add --format"),
        ("label photos --classes names.txt --format coco", "needs a file: add --out"),
        ("label photos --classes names.txt --out no/labels.csv", "a folder that exists"),
        (
            "label photos --classes names.txt --set grid_sze=2",
            "--set grid_sze: CLIPPseudoLabeler has no parameter 'grid_sze' .did you mean",
        ),
        (
            "train photos --classes names.txt --out m --set pseudo_labeler__views=a --set netwrk=b",
            "--set netwrk: CDULClassifier has no parameter 'netwrk' .did you mean 'network'",
        ),
        (
            "train photos --classes names.txt --out m --set training__epoch=1",
            "Invalid parameter 'epoch' for estimator RidgeTraining",
        ),
        ("label photos --classes names.txt --set grid_size=0", "'grid_size' parameter"),
        ("label photos --classes names.txt --model-name ViT-B-99", "Near names: ViT-B-32"),
        ("label photos --classes names.txt --device tpu", "device"),
        ("train photos --classes names.txt --out photos", "must name a file"),
        ("label photos --classes names.txt --out new/ --format csv", "--out new/.* name a file"),
        ("train photos --classes names.txt --out new/", "--out new/ .* must name a file"),
        ("train photos --classes names.txt --out m --report new/", "--report new/ .* name a file"),
        ("suggest model.joblib photos --out new/", "--out new/ .* must name a file"),
        ("review photos --classes names.txt --no-browser --answers a.csv/", "Name a file"),
        ("train photos --classes names.txt --out m --report no/r.html", "--report no.r.html can't"),
        ("report model.joblib photos --out report.html --labels no.csv", "no.csv"),
        ("predict no.joblib photos", "there is no file no.joblib"),
        ("predict names.txt photos", "names.txt can't be loaded with sklearn_cdul"),
        ("predict other.joblib photos", "other.joblib holds a dict and no CDULClassifier"),
        ("predict unfitted.joblib photos", "the classifier in unfitted.joblib is not fitted"),
        (
            "predict model.joblib photos --format label-studio --scores --out tasks.json",
            "no place for the scores",
        ),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(folder, capsys, command, message):
    Path("empty").mkdir()
    Path("empty.txt").write_text("# nothing\n")
    Path("cut.json").write_text('["a",')
    Path("twice.txt").write_text("bread\nbread\n")
    joblib.dump({}, "other.joblib")
    joblib.dump(CDULClassifier(), "unfitted.joblib")
    assert main(command.split()) == 1
    line = last_line(capsys)
    assert line.startswith("sklearn-cdul: error: ")
    assert re.search(message, line)


def test_debug_shows_where_an_error_comes_from(folder):
    with pytest.raises(FileNotFoundError):
        main(["label", "fotos", "--classes", "names.txt", "--debug"])


def test_help_and_mistakes_wait_for_no_large_import():
    code = (
        "import sys; from sklearn_cdul.cli import main; "
        "main(['label', 'fotos', '--classes', 'n']); "
        "sys.exit({'torch', 'sklearn', 'open_clip'} & sys.modules.keys() or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "there is no folder or photo fotos" in done.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--out no_csv.csv --classes semicolon.txt", r"class 'cup; mug' can't be written"),
        ("--out o.csv --format coco", r"writes JSON, but o\.csv ends in \.csv"),
        ("--out photos/t.json --format label-studio", "lies in no folder in .*photos"),
        ("--out t.XML --format label-studio", r"must end in \.json, got t\.XML"),
        ("--out t.json --format label-studio --classes escape.txt", r"class 'a\\x1bb' can't"),
        (f"--out {300 * 'n'}.csv", "nnn.csv can't be written: "),
        ("--out names.txt --format csv", "names.txt can't be written: it has another part"),
        ("--out photos/deep/a.jpg --format csv", "a.jpg can't be written: it has another part"),
        ("--out link.csv", "link.csv can't be written: it has another part"),
        ("--classes line.txt", r"line.txt has 'cup, egg' where names are .*one name per line"),
        ("--classes table.csv", r"table.csv has 'id,name' where names are expected"),
        ("--classes table.txt", r"table.txt has 'id,name' where names are expected"),
        ("--classes column.csv", r"column.csv has 'name' where names are expected"),
        ("--classes numbers.txt", r"numbers.txt has '1. cup' where names are expected"),
        ("--classes bullets.txt", r"bullets.txt has '- cup' where names are expected"),
        ("--classes quotes.txt", r"quotes.txt has '\"cup\"' where names are expected"),
        ("--classes nested.json", r"classes\['cup'\] must be a string or a list of strings"),
        ("--classes named.json", r"named.json has the class 'classes'\. Write its list alone"),
        ("--classes unmarked.txt", "unmarked.txt is not UTF-8"),
        ("--classes latin.txt", "latin.txt is not UTF-8"),
        ("@gone.txt", "There is no file gone.txt"),
        ("@list.txt", "there is no folder or photo gone.jpg"),
        ("@names.bin", "@names.bin names no photos"),
        ("-", "- names no photos"),
    ],
)
def test_what_can_be_known_before_the_work_is(folder, capsys, monkeypatch, command, message):
    for name, text in {
        "semicolon.txt": "cup; mug\nbread\n",
        "escape.txt": "a\x1bb\nbread\n",
        "line.txt": "cup, egg\n",
        "table.csv": "id,name\n1,cup\n",
        "table.txt": "id,name\n1,cup\n",
        "column.csv": "name\ncup\n",
        "named.json": '{"classes": ["cup", "egg"]}',
        "nested.json": '{"cup": {"egg": 1}}',
        "numbers.txt": "1. cup\n2. egg\n",
        "bullets.txt": "- cup\n- egg\n",
        "quotes.txt": '"cup"\n"egg"\n',
        "list.txt": "photos\r\ngone.jpg\r\n",
        "names.bin": "",
    }.items():
        Path(name).write_text(text)
    Path("unmarked.txt").write_bytes("cup\negg\n".encode("utf-16-le"))
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    shutil.copy(list_photos("photos")[0], "photos/deep/a.jpg")
    os.symlink("photos/deep/a.jpg", "link.csv")
    monkeypatch.setattr(CLIPPseudoLabeler, "fit_transform", None)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    first = [] if command[0] in "@-" and command[:2] != "--" else ["photos"]
    classes = [] if "--classes" in command else ["--classes", "names.txt"]
    assert main(["label", *first, *command.split(), *classes]) == 1
    assert re.search(message, last_line(capsys))
    assert not list(Path().glob("*.part"))


def test_train_does_not_write_two_things_into_one_file(folder, capsys):
    command = ["train", "photos", "--classes", "names.txt", "--out", "new.joblib"]
    assert main([*command, "--report", "./new.joblib"]) == 1
    assert last_line(capsys).endswith(
        "new.joblib can't be written: it has another part in this command"
    )


def test_train_needs_room_for_the_classifier_before_it_begins(folder, capsys, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=2**24)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    command = ["train", "photos", "--classes", "names.txt", "--out"]
    assert main([*command, "new.joblib"]) == 1
    assert last_line(capsys).endswith("can't be written: less than 64 MB are free there")
    assert not Path("new.joblib").exists()


def test_photos_may_come_from_stdin_and_from_lists(folder, capsysbinary, monkeypatch):
    first, *others = (Path(path).as_posix() for path in list_photos("photos"))
    Path("photos.txt").write_text("\ufeff" + "\r\n".join(others[:2]), encoding="utf-8")
    Path("-x.jpg").write_bytes(Path(first).read_bytes())
    for separator in ("\n", "\0"):
        stdin = io.BytesIO(separator.join([*others[2:], f"./{first}", ""]).encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        assert (
            main(["predict", "model.joblib", first, "@photos.txt", "-", "-x.jpg", "--quiet"]) == 0
        )
        lines = capsysbinary.readouterr().out.decode().splitlines()
        assert [line.split(",")[0] for line in lines[1:]] == [first, *others, "-x.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_any_name_of_a_photo_or_a_class_can_be_written_whatever_the_terminal(folder, monkeypatch):
    photo = os.fsdecode(b"photos/caf\xe9.jpg")
    shutil.copy(list_photos("photos")[0], photo)
    model = joblib.load("model.joblib")
    model.class_names_ = ["\u5bff\u53f8", *NAMES[1:]]
    model.set_thresholds(0.0)
    joblib.dump(model, "other.joblib")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["predict", "other.joblib", photo, "--quiet"]) == 0
    expected = "photos/caf\udce9.jpg,\u5bff\u53f8;cake;salad\n".encode("utf-8", "surrogateescape")
    assert sys.stdout.buffer.getvalue() == b"path,labels\n" + expected
    assert main(["predict", "other.joblib", photo, "--quiet", "--out", "labels.csv"]) == 0
    assert Path("labels.csv").read_bytes() == sys.stdout.buffer.getvalue()
    assert load_csv("labels.csv").data == [photo]


def test_the_home_folder_may_be_written_with_a_tilde(folder, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    command = ["predict", "~/model.joblib", "~/photos", "--out", "~/labels.csv", "--quiet"]
    assert main(command) == 0
    assert len(read("labels.csv")) == 6


@pytest.mark.parametrize("command", ["", "label photos", "label photos --classes a --set b", "fly"])
def test_a_wrong_command_line_shows_how_it_is_used(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(command.split())
    assert stopped.value.code == 2
    assert "usage: sklearn-cdul" in capsys.readouterr().err


def test_interrupting_says_how_to_go_on(folder, capsys, monkeypatch):
    def interrupted(folder):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("sklearn_cdul.datasets.list_photos", interrupted)
    assert main(["label", "photos", "--classes", "names.txt"]) == 130
    assert last_line(capsys).endswith("With --memory FOLDER the photos are not encoded again")
    assert main(["train", "photos", "--classes", "voc", "--out", "m", "--memory", "cache"]) == 130
    assert last_line(capsys).endswith("the same command goes on with what is in cache")
    assert main(["predict", "model.joblib", "photos"]) == 130
    assert last_line(capsys) == "sklearn-cdul: interrupted"
    assert not Path("m").exists()


def test_streams_that_are_closed_take_nothing_and_lose_nothing(folder, capsys, monkeypatch):
    command = ["predict", "model.joblib", "photos", "--quiet"]
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stderr", None)  # print() writes to stdout then
        assert main(command) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        assert main(command) == 1
        assert main([*command, "--out", "labels.csv"]) == 0
    assert "error: stdout is closed; name a file as --out" in capsys.readouterr().err
    assert len(read("labels.csv")) == 6
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["predict", "model.joblib", "-"]) == 1
    assert last_line(capsys).endswith("error: - names no photos")


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes on Windows")
def test_names_may_come_from_a_pipe_and_a_minus_is_stdout(folder, capsys):
    end, begin = os.pipe()
    os.write(begin, b"cake\nsalad\n")
    os.close(begin)
    command = ["label", "photos", "--classes", f"/dev/fd/{end}", "--out", "-", *FAST]
    assert main(command) == 0
    os.close(end)
    assert len(capsys.readouterr().out.splitlines()) == 7
    assert not Path("-").exists()


@pytest.mark.parametrize("out", ["", "-"])
def test_what_names_no_file_is_a_wrong_command_line(folder, capsys, out):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "photos", "--classes", "names.txt", "--out", out])
    assert stopped.value.code == 2
    assert f"argument --out: '{out}' names no file" in capsys.readouterr().err


def test_an_option_of_other_commands_is_refused_with_those_of_this_one(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["suggest", "model.joblib", "--memory", "cache", "photos"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "usage: sklearn-cdul suggest " in error and "--observed CSV" in error
    assert "sklearn-cdul suggest: error: unrecognized arguments: --memory" in error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_process_that_is_interrupted_ends_at_once_and_goes_on_later(folder, name):
    command = [sys.executable, "-m", "sklearn_cdul", "label", "photos", "--classes", "names.txt"]
    command += ["--memory", "cache", "--set", "batch_size=1", "--set", "grid_size=6"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    seen = b""
    while b"1/6" not in seen:
        part = os.read(process.stderr.fileno(), 4096)
        assert part, seen.decode()
        seen += part
    process.send_signal(getattr(signal, name))
    started = time.monotonic()
    out, error = process.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in error
    again = subprocess.run(command, capture_output=True, env=environment, timeout=300)
    assert again.returncode == 0
    assert again.stdout.count(b"\n") == 7


@pytest.mark.slow
def test_a_reader_that_stops_early_leaves_no_traceback(folder):
    command = (
        f"{sys.executable} -m sklearn_cdul predict model.joblib photos --scores --quiet | true"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, shell=True, capture_output=True, env=environment, timeout=300)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
