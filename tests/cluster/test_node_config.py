"""What the cluster files say to the clouds themselves, which Ray hands on unread: AWS' own model, Google's fields."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"
GUIDE = (CLUSTER / "README.md").read_text()
AWS: dict[str, Any] = yaml.safe_load((CLUSTER / "gpu.yaml").read_text())
GOOGLE: dict[str, Any] = yaml.safe_load((CLUSTER / "gcp.yaml").read_text())

# Fields of an instance in Google's Compute API, as far as a sweep might use them: a field's kind is an object below,
# [object], =a|b for one of these words, or any value.
GOOGLE_FIELDS: dict[str, dict[str, str]] = {
    "instance": {
        "machineType": "any",
        "disks": "[disk]",
        "networkInterfaces": "[interface]",
        "metadata": "metadata",
        "scheduling": "scheduling",
        "serviceAccounts": "any",
        "labels": "any",
        "tags": "any",
    },
    "disk": {"boot": "any", "autoDelete": "any", "type": "=PERSISTENT|SCRATCH", "initializeParams": "new disk"},
    "new disk": {"diskSizeGb": "any", "diskType": "any", "sourceImage": "any"},
    "interface": {"network": "any", "subnetwork": "any", "accessConfigs": "[access]"},
    "access": {"name": "any", "type": "=ONE_TO_ONE_NAT"},
    "metadata": {"items": "[item]"},
    "item": {"key": "any", "value": "any"},
    "scheduling": {
        "provisioningModel": "=STANDARD|SPOT",
        "instanceTerminationAction": "=DELETE|STOP",
        "onHostMaintenance": "=MIGRATE|TERMINATE",
        "automaticRestart": "any",
    },
}


def shape() -> Any:
    """What AWS takes when a machine is started."""
    service = botocore.loaders.Loader().load_service_model("ec2", "service-2")
    return botocore.model.ServiceModel(service).operation_model("RunInstances").input_shape


def aws_faults(node: dict[str, Any]) -> list[str]:
    asked = {**node, "MinCount": 1, "MaxCount": 1}
    report = botocore.validate.ParamValidator().validate(asked, shape())
    unknown = [f"{name} is unknown" for name in other_keys(asked, shape())]
    return ([report.generate_report()] if report.has_errors() else []) + unknown + list(other_words(asked, shape()))


def other_keys(value: Any, kind: Any) -> Iterator[str]:
    if kind.type_name == "structure":
        yield from (name for name in value if name not in kind.members)
        for name in value.keys() & kind.members.keys():
            yield from other_keys(value[name], kind.members[name])
    elif kind.type_name == "list":
        for each in value:
            yield from other_keys(each, kind.member)


def other_words(value: Any, kind: Any) -> Iterator[str]:
    """Values that are none of those that the model lists."""
    if kind.type_name == "structure":
        for name in value.keys() & kind.members.keys():
            yield from other_words(value[name], kind.members[name])
    elif kind.type_name == "list":
        for each in value:
            yield from other_words(each, kind.member)
    elif getattr(kind, "enum", None) and value not in kind.enum:
        yield f"{value} is none of {kind.name}"


def google_faults(value: Any, kind: str = "instance") -> Iterator[str]:
    if kind.startswith("["):
        for each in value:
            yield from google_faults(each, kind[1:-1])
    elif kind.startswith("="):
        if value not in kind[1:].split("|"):
            yield f"{value} is none of {kind[1:]}"
    elif kind in GOOGLE_FIELDS:
        fields = GOOGLE_FIELDS[kind]
        yield from (f"{kind}.{name} is unknown" for name in value if name not in fields)
        for name in value.keys() & fields.keys():
            yield from google_faults(value[name], fields[name])


def nodes(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [node["node_config"] for node in config["available_node_types"].values()]


def test_aws_has_every_field_and_word() -> None:
    for node in nodes(AWS):
        assert aws_faults(node) == []


@pytest.mark.parametrize(
    "change",
    [
        {"InstanceTyp": "g5.xlarge"},
        {"InstanceType": "g5.xlarger"},
        {"InstanceMarketOptions": {"MarketType": "spto"}},
        {"BlockDeviceMappings": [{"DevicName": "/dev/sda1"}]},
    ],
)
def test_a_slip_on_aws_is_found(change: dict[str, Any]) -> None:
    assert aws_faults({**nodes(AWS)[1], **change})


def test_google_has_every_field_and_word() -> None:
    for node in nodes(GOOGLE):
        assert list(google_faults(node)) == []


@pytest.mark.parametrize(
    "change",
    [{"machineTyp": "n2-standard-4"}, {"scheduling": {"onHostMaintenance": "TERMINAT"}}, {"disks": [{"a": 1}]}],
)
def test_a_slip_on_google_is_found(change: dict[str, Any]) -> None:
    assert list(google_faults({**nodes(GOOGLE)[1], **change}))


def test_every_machine_has_a_type_and_a_disk() -> None:
    for node in nodes(AWS):
        assert {"InstanceType", "ImageId", "BlockDeviceMappings"} <= node.keys()
    for node in nodes(GOOGLE):
        assert {"machineType", "disks", "networkInterfaces"} <= node.keys()


def test_heads_cost_no_gpu() -> None:
    assert AWS["available_node_types"]["head"]["node_config"]["InstanceType"].startswith(("m5.", "m6i.", "m7i."))
    assert GOOGLE["available_node_types"]["head"]["node_config"]["machineType"].startswith(("n2-", "e2-"))


def test_the_shared_store_is_where_the_machines_are() -> None:
    (efs,) = re.findall(r"fs-YOUR-FILES\.efs\.([\w-]+)\.amazonaws\.com:/ /mnt/kdray", "\n".join(mounts(AWS)))
    assert efs == AWS["provider"]["region"]
    assert all(zone.startswith(efs) for zone in AWS["provider"]["availability_zone"].split(","))
    (share,) = re.findall(r"YOUR-FILESTORE-ADDRESS:/(\w+) /mnt/kdray", "\n".join(mounts(GOOGLE)))
    assert f"--file-share=name={share}," in GUIDE
    assert f"--zone={GOOGLE['provider']['availability_zone']}" in GUIDE


def mounts(config: dict[str, Any]) -> list[str]:
    return config["initialization_commands"]


def test_google_gets_the_project_and_its_zone() -> None:
    assert GOOGLE["provider"].keys() == {"type", "region", "availability_zone", "project_id", "cache_stopped_nodes"}
    assert GOOGLE["provider"]["availability_zone"].startswith(GOOGLE["provider"]["region"])


@pytest.mark.parametrize("config", [AWS, GOOGLE], ids=["aws", "google"])
def test_docker_has_the_options(config: dict[str, Any]) -> None:
    options = [option.split()[0].split("=")[0] for option in config["docker"]["run_options"]]
    assert set(options) == {"--shm-size", "--ulimit", "-v", "-e"}


def test_the_environment_on_own_machines_is_made_by_python() -> None:
    local = yaml.safe_load((CLUSTER / "local.yaml").read_text())
    assert local["setup_commands"][0].endswith("|| python3 -m venv ~/kdray-cluster/.venv")
