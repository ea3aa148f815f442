"""A local cluster that stays up between commands: who keeps it, where its state lies, how commands find it.

`supernode up` starts one process in the background, the keeper. It owns everything else: a Ray node, unless it
joins a cluster that is there, an actor for each instance, the actor of the control plane and, if asked for, a
Prometheus server. Other commands never talk to the keeper: they read its state file, and for an operation they become a
second driver of the Ray node.

Reading order:
- `runtime_folder`, `state`: the folder with state, lock, token and log; what the state file says;
- `processes`, `listeners`: which processes belong to a cluster, ending them all, and the ports that they listen on;
- `up_down`, `keeper`: what the two commands do, and the process between them;
- `local`: a Ray node of our own, and whether its processes are alive; `ray_connection`: what a process must set to talk
  to one;
- `existing`: a Ray cluster that was there before, in place of a node of our own;
- `standing`, `answer`, `attach`: find the cluster that is up, ask how it stands, and work on it;
- `fleet`, `prometheus_server`, `status_page`: what the keeper sets up, and how `supernode status` shows it;
- `ports`, `loopback`: fixed ports, HTTP to this machine.
"""
