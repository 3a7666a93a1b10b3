"""Make a VM by bare libvirt calls: an overlay, a seed, the definition, and (with `start` as last word) its start.

arguments: URI NAME DIRECTORY [start]; the directory holds the documents and the seed of a VM called `bench-model`.
"""

import sys
from pathlib import Path
from uuid import uuid4

import libvirt

uri, name, directory, *start = sys.argv[1:]
documents = {each.stem: each.read_text().replace("bench-model", name) for each in Path(directory).glob("*.xml")}
seed = Path(directory, "seed.iso").read_bytes()

host = libvirt.open(uri)
pool = host.storagePoolLookupByName("default")
pool.createXML(documents["overlay"])
volume = pool.createXML(documents["seed"])
stream = host.newStream()
volume.upload(stream, 0, len(seed))
sent = 0
while sent < len(seed):
    sent += stream.send(seed[sent : sent + 262144])
stream.finish()
domain = host.defineXMLFlags(documents["vm"].replace("UUID", str(uuid4())), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
if start:
    domain.create()
