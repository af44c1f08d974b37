"""A real Kubernetes node on this machine without Docker: containerd, kubelet and pods in namespaces of their own.

The chart's tests run on it. It refuses to reach beyond this machine, to install anything on it, or to leave anything
behind: what it needs is built or unpacked in the user's cache, and a stop ends every process, mount, link and cgroup.
"""
