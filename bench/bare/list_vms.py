"""List all VMs by bare libvirt calls: state, processors and memory, and the leases that addresses come from."""

import sys

import libvirt

host = libvirt.open(sys.argv[1])
groups = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
for domain, figures in host.getAllDomainStats(groups, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT):
    # The test driver tells the state in bulk; processors and memory it has to be asked for one by one.
    _, most, memory, cpus, _ = domain.info()
    print(domain.name(), figures["state.state"], cpus, memory, most)
for network in host.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
    try:
        print(network.DHCPLeases())
    except libvirt.libvirtError:
        print("-")
