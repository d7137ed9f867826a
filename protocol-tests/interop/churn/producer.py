"""Apache Kafka's VerifiableProducer, at a bounded rate, until it is told to stop."""

import json
import signal
import subprocess

PATIENCE = 60

# By itself it tries nothing twice: then nobody could say whether what it was not vouched for is there.
SETTINGS = "enable.idempotence=true\nretries=2147483647\ndelivery.timeout.ms=2147483647\n"


class VerifiableProducer:
    def __init__(self, setting, records_a_second, keys):
        self.journal = setting.folder / "producer.jsonl"
        self.errors = setting.folder / "producer.log"
        settings = setting.folder / "producer.properties"
        settings.write_text(SETTINGS, encoding="utf-8")
        command = [*setting.java, "org.apache.kafka.tools.VerifiableProducer",
                   "--bootstrap-server", setting.bootstrap, "--topic", setting.topic,
                   "--throughput", str(records_a_second), "--acks", "-1", "--repeating-keys", str(keys),
                   "--producer.config", settings]
        with open(self.journal, "wb") as output, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)

    def acknowledged(self):
        """The partition and offset of each record that a broker has vouched for, by what was written in it."""
        entries = [json.loads(line) for line in self.journal.read_text(encoding="utf-8").splitlines()
                   if line.startswith("{")]
        failed = [entry for entry in entries if entry["name"] == "producer_send_error"]
        assert not failed, f"the producer gave up: {failed[:3]}"
        return {entry["value"]: (entry["partition"], entry["offset"])
                for entry in entries if entry["name"] == "producer_send_success"}
