"""Calls to services, for clients whose node spins on a thread of its own."""

import threading


class ServiceCaller:
    """Waits at most `patience` seconds for a service to be there, and as long for its answer."""

    def __init__(self, node, patience):
        self.node, self.patience = node, patience
        self.clients = {}

    def client(self, kind, service):
        """The client of a service, given by its full name, once the service is there."""
        if service not in self.clients:
            client = self.node.create_client(kind, service)
            if not client.wait_for_service(self.patience):
                raise SystemExit(f"there is no service {service}")
            self.clients[service] = client
        return self.clients[service]

    def call(self, kind, service, request):
        """The answer of a service, given by its full name."""
        done = threading.Event()
        future = self.client(kind, service).call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(self.patience):
            raise SystemExit(f"{service} does not answer")
        return future.result()
