"""kuberay.yaml has only fields that KubeRay's and Kubernetes' API define, Ray reads it as we mean it, its parts fit.

The fields are those of KubeRay 1.6 (ray.io/v1) and of Kubernetes' core types, as far as a sweep might use them.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import list2cmdline
from typing import Any

import pytest
import yaml
from programs import PINNED_RAY, calls, install

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cluster/kuberay.yaml").read_text()
DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all(TEXT))

# A field's kind: str, int, bool, {str} (a map of strings), the name of an object below, [kind] (a list), =a|b (one of
# these words); with ! at the end if the API insists on it.
FIELDS: dict[str, dict[str, str]] = {
    "RayJob": {"apiVersion": "=ray.io/v1!", "kind": "=RayJob!", "metadata": "ObjectMeta!", "spec": "RayJobSpec!"},
    "RayJobSpec": {
        "activeDeadlineSeconds": "int",
        "backoffLimit": "int",
        "rayClusterSpec": "RayClusterSpec",
        "submitterPodTemplate": "PodTemplateSpec",
        "metadata": "{str}",
        "clusterSelector": "{str}",
        "entrypoint": "str",
        "runtimeEnvYAML": "str",
        "jobId": "str",
        "submissionMode": "=K8sJobMode|HTTPMode|InteractiveMode|SidecarMode",
        "entrypointResources": "str",
        "ttlSecondsAfterFinished": "int",
        "shutdownAfterJobFinishes": "bool",
        "suspend": "bool",
    },
    "RayClusterSpec": {
        "authOptions": "AuthOptions",
        "suspend": "bool",
        "autoscalerOptions": "AutoscalerOptions",
        "headServiceAnnotations": "{str}",
        "enableInTreeAutoscaling": "bool",
        "gcsFaultToleranceOptions": "GcsFaultToleranceOptions",
        "headGroupSpec": "HeadGroupSpec!",
        "rayVersion": "str",
        "workerGroupSpecs": "[WorkerGroupSpec]",
    },
    "AuthOptions": {"mode": "=disabled|token", "secretName": "str", "enableK8sTokenAuth": "bool"},
    "AutoscalerOptions": {
        "resources": "ResourceRequirements",
        "image": "str",
        "imagePullPolicy": "=Always|IfNotPresent|Never",
        "idleTimeoutSeconds": "int",
        "upscalingMode": "=Default|Aggressive|Conservative",
        "version": "=v1|v2",
        "env": "[EnvVar]",
        "volumeMounts": "[VolumeMount]",
    },
    "GcsFaultToleranceOptions": {
        "redisUsername": "RedisCredential",
        "redisPassword": "RedisCredential",
        "externalStorageNamespace": "str",
        "redisAddress": "str!",
    },
    "RedisCredential": {"value": "str", "valueFrom": "EnvVarSource"},
    "HeadGroupSpec": {
        "template": "PodTemplateSpec!",
        "enableIngress": "bool",
        "resources": "{str}",
        "labels": "{str}",
        "rayStartParams": "{str}",
        "serviceType": "=ClusterIP|NodePort|LoadBalancer",
    },
    "WorkerGroupSpec": {
        "groupName": "str!",
        "replicas": "int",
        "minReplicas": "int!",
        "maxReplicas": "int!",
        "idleTimeoutSeconds": "int",
        "resources": "{str}",
        "labels": "{str}",
        "rayStartParams": "{str}",
        "template": "PodTemplateSpec!",
        "numOfHosts": "int",
    },
    "ObjectMeta": {"name": "str", "namespace": "str", "labels": "{str}", "annotations": "{str}"},
    "PodTemplateSpec": {"metadata": "ObjectMeta", "spec": "PodSpec!"},
    "PodSpec": {
        "containers": "[Container]!",
        "nodeSelector": "{str}",
        "priorityClassName": "str",
        "securityContext": "PodSecurityContext",
        "serviceAccountName": "str",
        "tolerations": "[Toleration]",
        "volumes": "[Volume]",
    },
    "PodSecurityContext": {"fsGroup": "int", "runAsUser": "int", "runAsGroup": "int", "runAsNonRoot": "bool"},
    "Toleration": {"key": "str", "operator": "=Exists|Equal", "value": "str", "effect": "=NoSchedule|NoExecute"},
    "Volume": {"name": "str!", "persistentVolumeClaim": "PersistentVolumeClaimVolumeSource"},
    "PersistentVolumeClaimVolumeSource": {"claimName": "str!", "readOnly": "bool"},
    "Container": {
        "name": "str!",
        "image": "str",
        "imagePullPolicy": "=Always|IfNotPresent|Never",
        "command": "[str]",
        "args": "[str]",
        "env": "[EnvVar]",
        "ports": "[ContainerPort]",
        "resources": "ResourceRequirements",
        "volumeMounts": "[VolumeMount]",
    },
    "ContainerPort": {"containerPort": "int!", "name": "str", "protocol": "=TCP|UDP"},
    "ResourceRequirements": {"requests": "{str}", "limits": "{str}"},
    "VolumeMount": {"name": "str!", "mountPath": "str!", "subPath": "str", "readOnly": "bool"},
    "EnvVar": {"name": "str!", "value": "str", "valueFrom": "EnvVarSource"},
    "EnvVarSource": {"secretKeyRef": "SecretKeySelector"},
    "SecretKeySelector": {"name": "str", "key": "str!", "optional": "bool"},
    "Service": {"apiVersion": "=v1!", "kind": "=Service!", "metadata": "ObjectMeta!", "spec": "ServiceSpec!"},
    "ServiceSpec": {"type": "=ClusterIP", "selector": "{str}", "ports": "[ServicePort]", "clusterIP": "=None"},
    "ServicePort": {"name": "str", "port": "int!", "targetPort": "int", "protocol": "=TCP|UDP"},
    "PersistentVolumeClaim": {
        "apiVersion": "=v1",
        "kind": "=PersistentVolumeClaim",
        "metadata": "ObjectMeta!",
        "spec": "PersistentVolumeClaimSpec!",
    },
    "PersistentVolumeClaimSpec": {
        "accessModes": "[=ReadWriteOnce|ReadWriteMany]!",
        "storageClassName": "str",
        "resources": "ResourceRequirements!",
    },
    "StatefulSet": {
        "apiVersion": "=apps/v1!",
        "kind": "=StatefulSet!",
        "metadata": "ObjectMeta!",
        "spec": "StatefulSetSpec!",
    },
    "StatefulSetSpec": {
        "serviceName": "str",
        "replicas": "int",
        "selector": "LabelSelector!",
        "template": "PodTemplateSpec!",
        "volumeClaimTemplates": "[PersistentVolumeClaim]",
    },
    "LabelSelector": {"matchLabels": "{str}"},
}


def faults(value: Any, kind: str, where: str) -> Iterator[str]:
    """What the API server would refuse."""
    plain = {"str": str, "int": int, "bool": bool}
    if kind in FIELDS:
        yield from object_faults(value, FIELDS[kind], where) if isinstance(value, dict) else [f"{where} is no object"]
    elif kind.startswith("["):
        if not isinstance(value, list):
            yield f"{where} is no list"
            return
        for index, each in enumerate(list[Any](value)):
            yield from faults(each, kind[1:-1], f"{where}[{index}]")
    elif kind == "{str}":
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in dict[str, Any](value).values()):
            yield f"{where} is no map of strings: {value!r}"
    elif kind.startswith("="):
        if value not in kind[1:].split("|"):
            yield f"{where} is {value!r}, not {kind[1:]}"
    elif type(value) is not plain[kind]:
        yield f"{where} is no {kind}: {value!r}"


def object_faults(value: dict[str, Any], known: dict[str, str], where: str) -> Iterator[str]:
    yield from (f"{where}.{name} is unknown" for name in value if name not in known)
    yield from (f"{where}.{name} is missing" for name, k in known.items() if k.endswith("!") and name not in value)
    for name in known.keys() & value.keys():
        yield from faults(value[name], known[name].removesuffix("!"), f"{where}.{name}")


def the(kind: str) -> dict[str, Any]:
    (found,) = [document for document in DOCUMENTS if document["kind"] == kind]
    return found


JOB = the("RayJob")["spec"]
RAY = JOB["rayClusterSpec"]
HEAD, (WORKER,) = RAY["headGroupSpec"], RAY["workerGroupSpecs"]
STATEFUL = the("StatefulSet")
PODS = [HEAD["template"]["spec"], WORKER["template"]["spec"], STATEFUL["spec"]["template"]["spec"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_has_only_fields_of_the_api(document: dict[str, Any]) -> None:
    assert list(faults(document, document["kind"], document["kind"])) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"replicaz": 1}, "unknown"),
        ({"minReplicas": "0"}, "no int"),
        ({"rayStartParams": {"num-cpus": 0}}, "no map of strings"),
        ({"template": {"spec": {"containers": [{"image": "x"}]}}}, "name is missing"),
        ({"template": {"spec": {"containers": [], "tolerations": [{"effect": "Never"}]}}}, "not NoSchedule"),
    ],
)
def test_the_check_finds_what_the_api_server_would_refuse(change: dict[str, Any], fault: str) -> None:
    (found,) = faults({**WORKER, **change}, "WorkerGroupSpec", "worker")
    assert fault in found


def test_token_authentication_is_on_and_the_token_is_in_a_secret() -> None:
    assert RAY["authOptions"] == {"mode": "token", "secretName": "kdray-token"}
    for container in (*HEAD["template"]["spec"]["containers"], *WORKER["template"]["spec"]["containers"]):
        assert not any(variable["name"].startswith("RAY_AUTH") for variable in container["env"]), "would be preferred"


def test_secrets_are_made_by_the_guide_and_by_no_file() -> None:
    wanted = {("kdray-token", "auth_token")} | set(re.findall(r"secretKeyRef: \{name: ([\w-]+), key: ([\w-]+)\}", TEXT))
    guide = (ROOT / "cluster/README.md").read_text()
    assert wanted == set(re.findall(r"create secret generic ([\w-]+) --from-literal=([\w-]+)=", guide))
    assert not any(document["kind"] == "Secret" for document in DOCUMENTS)


def test_nothing_is_reached_from_outside() -> None:
    assert HEAD["serviceType"] == "ClusterIP"
    assert "enableIngress" not in HEAD
    assert all(document["kind"] not in ("Ingress", "Gateway") for document in DOCUMENTS)
    assert all(service["spec"]["type"] == "ClusterIP" for service in DOCUMENTS if service["kind"] == "Service")
    assert not re.search(r"hostPort|hostNetwork", TEXT)


def test_redis_is_where_ray_looks_for_it() -> None:
    service, options = the("Service"), RAY["gcsFaultToleranceOptions"]
    assert options["redisAddress"] == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    labels = STATEFUL["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == STATEFUL["spec"]["selector"]["matchLabels"] == labels
    assert STATEFUL["spec"]["serviceName"] == service["metadata"]["name"]
    (redis,) = STATEFUL["spec"]["template"]["spec"]["containers"]
    (password,) = redis["env"]
    assert password["valueFrom"] == options["redisPassword"]["valueFrom"]
    assert redis["args"][:2] == ["--requirepass", f"$({password['name']})"]


def test_volumes_exist() -> None:
    claims = {document["metadata"]["name"] for document in DOCUMENTS if document["kind"] == "PersistentVolumeClaim"}
    own = {claim["metadata"]["name"] for claim in STATEFUL["spec"]["volumeClaimTemplates"]}
    for pod in PODS:
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        assert {volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values()} <= claims
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys() | own
    assert the("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteMany"], "sweeps need a shared folder"


def test_the_store_that_the_sweep_is_given_is_mounted_everywhere() -> None:
    found = re.search(r"--store (\S+)", JOB["entrypoint"])
    assert found is not None
    for pod in PODS[:2]:
        for container in pod["containers"]:
            assert [mount["mountPath"] for mount in container["volumeMounts"]] == [found[1]]
            caches = [variable["value"] for variable in container["env"] if variable["name"] == "HF_HOME"]
            assert caches[0].startswith(f"{found[1]}/"), "what one pod downloads the others find"


def test_names_are_those_that_kubernetes_takes() -> None:
    name = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
    containers = [container["name"] for pod in PODS for container in pod["containers"]]
    names = [*containers, *(document["metadata"]["name"] for document in DOCUMENTS), WORKER["groupName"]]
    assert [each for each in names if not name.fullmatch(each)] == []


def test_the_operator_gets_the_version_of_ray() -> None:
    assert RAY["rayVersion"] == PINNED_RAY


def test_redis_takes_its_arguments() -> None:
    """`--name value` pairs of redis.conf; it does not start with one that it does not know."""
    (redis,) = STATEFUL["spec"]["template"]["spec"]["containers"]
    assert {word for word in redis["args"] if word.startswith("--")} <= {"--requirepass", "--appendonly", "--dir"}


def test_ray_reads_it_as_we_mean_it() -> None:
    """By the function that Ray's autoscaler applies to the cluster's resource; it checks the result by Ray's schema."""
    from ray.autoscaler._private.kuberay import autoscaling_config

    derive = autoscaling_config._derive_autoscaling_config_from_ray_cr  # pyright: ignore[reportPrivateUsage]
    config = derive({"metadata": {"name": "kdray", "namespace": "default"}, "spec": RAY})
    nodes = config["available_node_types"]
    (head,) = [node for name, node in nodes.items() if name == config["head_node_type"]]
    assert head["resources"]["CPU"] == 0, "the head trains nothing"
    gpu = nodes["gpu"]
    assert (gpu["min_workers"], gpu["max_workers"]) == (0, 4)
    assert (gpu["resources"]["GPU"], gpu["resources"]["CPU"]) == (1, 8)
    assert config["idle_timeout_minutes"] == 10
    assert RAY["enableInTreeAutoscaling"] is True


def test_gpus_are_limits_as_kubernetes_expects() -> None:
    (container,) = WORKER["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_cluster_goes_with_the_job() -> None:
    assert JOB["shutdownAfterJobFinishes"] is True
    assert JOB["ttlSecondsAfterFinished"] <= 3600


def words_run_on_the_head(tmp_path: Path) -> list[str]:
    """The program that a start of the job runs on the head, with its arguments."""
    checkout, store = tmp_path / "checkout", tmp_path / "store"
    (store / "sweeps").mkdir(parents=True, exist_ok=True)
    checkout.mkdir(exist_ok=True)
    install(tmp_path / "bin", {"ray": "", "python": ""})
    log = tmp_path / "calls"
    log.unlink(missing_ok=True)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(log)}
    # the operator's shell, where the store is not mounted: it puts the entrypoint behind `--`, as it stands
    line = f"ray job submit --address http://x --no-wait -- {JOB['entrypoint'].strip()} ; true"
    subprocess.run(["bash", "-c", line], env=environment, check=True)
    (submitted,) = calls(log)
    entrypoint = list2cmdline(submitted.arguments[submitted.arguments.index("--") + 1 :])  # as `ray job submit` does
    here = entrypoint.replace("/home/ray/kdray", str(checkout)).replace("/mnt/kdray", str(store))
    subprocess.run(["sh", "-c", here], env=environment, check=True)
    return [word.replace(str(store), "/mnt/kdray") for word in calls(log)[-1].arguments]


def test_a_second_start_resumes_the_sweep_of_the_first(tmp_path: Path) -> None:
    first = words_run_on_the_head(tmp_path)
    name = first[first.index("--name") + 1]
    assert first[:3] == ["cluster/ready.py", "--gpus", str(WORKER["maxReplicas"])]
    assert first[3:6] == ["--", "python", "sweeps/tune_rte.py"]
    assert "--resume" not in first
    study = tmp_path / "store/sweeps" / name / "study.db"
    study.parent.mkdir()
    study.touch()
    assert words_run_on_the_head(tmp_path) == [*first, "--resume"]
    assert JOB["backoffLimit"] > 0
    assert shlex.join(first).count("/mnt/kdray") == 1
