"""The JSON schema and the plain data that are derived from a table of fields."""

from __future__ import annotations

import json

from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.pool import Pool
from kvist.specs.vm import Vm
from kvist.values import Mac, Size
from kvist.xml.options import from_mapping
from kvist.xml.schema import as_data, json_schema


def test_a_schema_says_of_a_field_all_that_its_declaration_does() -> None:
    schema = json_schema(Nic)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert schema["description"] == "A network card of a VM."
    assert schema["additionalProperties"] is False
    assert properties["mtu"] == {
        "description": "Bytes of the largest packet.",
        "x-applies": "replug",
        "x-page": "https://libvirt.org/formatdomain.html#network-interfaces",
        "minimum": 68,
        "maximum": 65521,
        "type": ["integer", "null"],
    }
    link, model, vlan, network = (properties[name] for name in ("link", "model", "vlan", "network"))
    assert isinstance(link, dict) and link["enum"] == ["up", "down", None]
    assert isinstance(model, dict) and "enum" not in model and "virtio" in str(model["examples"])
    assert isinstance(vlan, dict) and vlan["items"] == {"type": "integer", "minimum": 0, "maximum": 4095}
    assert isinstance(network, dict) and network["x-when"] == ["network"]


def test_a_schema_says_what_the_time_of_a_change_depends_on() -> None:
    properties = json_schema(Vm)["properties"]
    assert isinstance(properties, dict)
    disks = properties["disks"]
    assert isinstance(disks, dict) and disks["x-restart-for"] == {"bus": ["sata", "ide", "fdc", "sd"]}


def test_what_libvirt_tells_is_marked_as_such() -> None:
    properties = json_schema(Pool)["properties"]
    assert isinstance(properties, dict)
    marked = [name for name, about in properties.items() if isinstance(about, dict) and about.get("readOnly")]
    assert marked == ["capacity", "allocation", "available"]


def test_the_schema_of_a_vm_has_every_field_and_is_json() -> None:
    schema = json_schema(Vm)
    properties = schema["properties"]
    assert isinstance(properties, dict) and list(properties) == list(Vm.DECLARED)
    assert json.loads(json.dumps(schema)) == schema


def test_a_spec_as_plain_data_is_what_a_file_would_say() -> None:
    nic = Nic(
        mac=Mac("52:54:00:00:00:01"), network="lab", vlan=(1, 2), vhost=False, in_average=Size(1 << 20), filter=None
    )
    vm = Vm(memory=Size(4 << 30), cpus=2, nics=(nic.replace(filter_parameters=(FilterParameter(name="IP"),)),))
    data = as_data(vm)
    assert data == {
        "memory": "4G",
        "cpus": 2,
        "nics": [
            {
                "mac": "52:54:00:00:00:01",
                "network": "lab",
                "vlan": [1, 2],
                "vhost": False,
                "in_average": "1M",
                "filter": None,
                "filter_parameters": [{"name": "IP"}],
            }
        ],
    }
    assert from_mapping(Vm, json.loads(json.dumps(data))) == vm
