"""What deploy/ holds is what each scheduler's own tool takes, and the SLURM script makes in an array what one run makes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from runs import ROOT, digest, slide
from slurm import can_run, cluster

DEPLOY = ROOT / "deploy"


def tool(name: str) -> str:
    """The path of a linter, which is looked for beside Python and in PATH. Skips without it."""
    found = shutil.which(name, path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.parametrize(
    ("name", "words", "file"),
    [
        ("cfn-lint", [], "aws.yaml"),
        ("asl-validator", ["--json-path"], "step-functions.asl.json"),
        ("kubernetes-validate", ["--strict"], "kubernetes.yaml"),
        ("kubeconform", ["-strict"], "kubernetes.yaml"),
        ("nextflow", ["lint"], "omezarr-proc.nf"),
        ("shellcheck", [], "slurm.sh"),
        ("shellcheck", [], "aws-batch-submit.sh"),
        ("bash", ["-n"], "slurm.sh"),
        ("sh", ["-n"], "aws-batch-submit.sh"),
    ],
)
def test_each_file_is_taken_by_its_tool(name: str, words: list[str], file: str) -> None:
    done = subprocess.run([tool(name), *words, DEPLOY / file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_kubernetes_job_has_as_many_parts_as_indices() -> None:
    job = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text())["spec"]
    environ = {entry["name"]: entry["value"] for entry in job["template"]["spec"]["containers"][0]["env"]}
    assert job["completionMode"] == "Indexed"
    assert environ["PART"] == f"auto/{job['completions']}"


class _Template(yaml.SafeLoader):
    """Of CloudFormation, whose tags (`!Ref` and the like) say nothing here."""


_Template.add_multi_constructor("!", lambda loader, tag, node: tag)


def test_what_the_next_attempt_would_not_do_better_is_not_started_again() -> None:
    rows = re.findall(r"^\| (\d+) \| [^|]+\| ([^|]+)\|$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    no_use = {int(status) for status, policy in rows if policy.strip() and status != "137" and "retry as it is" not in policy}
    assert no_use == {1, 2, 71, 73}
    batch = yaml.load((DEPLOY / "aws.yaml").read_text(), _Template)["Resources"]["JobDefinition"]["Properties"]["RetryStrategy"]
    *ends, all_else = batch["EvaluateOnExit"]
    assert {int(rule["OnExitCode"]) for rule in ends if rule["Action"] == "exit"} == no_use
    assert all_else == {"OnExitCode": "*", "Action": "retry"}
    assert len(batch["EvaluateOnExit"]) <= 5  # which AWS Batch takes
    (rule,) = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text())["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], set(rule["onExitCodes"]["values"])) == ("FailIndex", no_use)


def test_the_state_machine_tries_again_what_passes() -> None:
    machine = json.loads((DEPLOY / "step-functions.asl.json").read_text())
    retries = machine["States"]["Parts"]["ItemProcessor"]["States"]["Part"]["Retry"]
    named = {error for retry in retries for error in retry["ErrorEquals"]}
    rows = re.findall(r"^\| `[a-z-]+` \| 75 \| `(\w+)` \|", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert set(rows) - named == {"ClusterError"}  # of CLUSTER, which is not for parts


def test_a_part_that_fails_stops_no_other_part_and_the_machine_fails_at_its_end() -> None:
    states = json.loads((DEPLOY / "step-functions.asl.json").read_text())["States"]
    inner = states["Parts"]["ItemProcessor"]["States"]
    (catch,) = inner["Part"]["Catch"]
    assert catch["ErrorEquals"] == ["States.ALL"]
    failed = inner[catch["Next"]]
    assert failed["Type"] == "Pass" and failed["End"]  # so the iteration succeeds, and the map goes on
    assert (inner["Part"]["ResultSelector"]["done"], failed["Parameters"]["done"]) == (True, False)
    (choice,) = states[states["Parts"]["Next"]]["Choices"]
    assert choice["StringMatches"] == "*false*" and states[choice["Next"]]["Type"] == "Fail"


def test_a_batch_is_submitted_as_an_array(tmp_path: Path) -> None:
    (tmp_path / "aws").write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    (tmp_path / "aws").chmod(0o755)
    command = [DEPLOY / "aws-batch-submit.sh", "queue", "16", "/data/in", "/data/out"]
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.splitlines()
    assert words[words.index("--array-properties") + 1] == "size=16"
    assert "{name=PART,value=auto/16}" in words[-1]


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.skipif(not can_run(), reason="needs root, and Debian's slurm-wlm and munge")
def test_an_array_of_slurm_makes_what_one_run_makes(tmp_path: Path) -> None:
    source, bin_ = tmp_path / "in", tmp_path / "bin"
    source.mkdir()
    bin_.mkdir()
    slide(source / "slide.ome.tif", 1500)
    slide(source / "small.ome.tif", 300)
    program = f'#!/bin/sh\nPYTHONPATH={ROOT} TILE_SIZE=64 exec {sys.executable} -m omezarr_proc "$@"\n'
    (bin_ / "omezarr-proc").write_text(program)
    (bin_ / "omezarr-proc").chmod(0o755)
    subprocess.run([bin_ / "omezarr-proc", "--quiet", "--input-dir", source, "--output-dir", tmp_path / "one"], check=True)
    with cluster(tmp_path / "slurm") as environ:
        environ = environ | {"PATH": f"{bin_}:{environ['PATH']}"}
        folders = f"INPUT_DIR={source},OUTPUT_DIR={tmp_path / 'many'}"
        sbatch = ["sbatch", "--parsable", "--chdir", tmp_path, "--cpus-per-task=1", "--mem=500"]
        subprocess.run([*sbatch, "--array=5-10", f"--export=ALL,{folders}", DEPLOY / "slurm.sh"], env=environ, check=True)
        until = time.monotonic() + 300
        while subprocess.run(["squeue", "-h"], env=environ, capture_output=True, check=True).stdout:
            assert time.monotonic() < until
            time.sleep(0.5)
    logs = "\n".join(path.read_text() for path in tmp_path.glob("slurm-*.out"))
    assert digest(tmp_path / "many") == digest(tmp_path / "one"), logs
