// What scripts/kafka asks of a running Kafka: users, topics, access rules, leaders. One program, because every
// start of a Java virtual machine costs a second, and Kafka's own tools would need six of them for `setup` alone.

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UserScramCredentialAlteration;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

public final class KafkaAdmin {
    private static final long PATIENCE_MS = 60_000;

    public static void main(String[] args) throws Exception {
        List<String> rest = List.of(args).subList(2, args.length);
        try (Admin admin = Admin.create(settings(args[1]))) {
            switch (args[0]) {
                case "setup" -> setup(admin, args[1], rest);
                case "topic" -> createTopic(admin, rest.get(0), number(rest.get(1)), (short) number(rest.get(2)));
                case "describe" -> describe(admin, rest.get(0));
                case "delete-topic" -> admin.deleteTopics(List.of(rest.get(0))).all().get();
                case "delete-records" -> admin.deleteRecords(Map.of(
                        new TopicPartition(rest.get(0), number(rest.get(1))),
                        RecordsToDelete.beforeOffset(Long.parseLong(rest.get(2))))).all().get();
                case "config" -> configure(admin, rest.get(0), rest.subList(1, rest.size()));
                case "move-leader" -> moveLeader(admin, rest.get(0), number(rest.get(1)), number(rest.get(2)));
                case "wait-node" -> waitForNode(admin, number(rest.get(0)));
                default -> throw new IllegalArgumentException("no such command: " + args[0]);
            }
        } catch (ExecutionException | IllegalStateException failure) {
            Throwable cause = failure instanceof ExecutionException ? failure.getCause() : failure;
            System.err.println(cause.getClass().getSimpleName() + ": " + cause.getMessage());
            System.exit(1);
        }
    }

    // From a broker that has just been started to one that every client of the tests can use on both listeners.
    private static void setup(Admin admin, String plaintext, List<String> rest) throws Exception {
        String saslSsl = rest.get(0);
        String ca = rest.get(1);
        String usersFile = rest.get(2);
        String forbidden = rest.get(3);
        String outsider = rest.get(4);
        int nodes = plaintext.split(",").length;
        until("all nodes answer", () -> admin.describeCluster().nodes().get().size() == nodes);

        Map<String, String> users = new TreeMap<>();
        for (String line : Files.readAllLines(Path.of(usersFile), StandardCharsets.UTF_8)) {
            String[] fields = line.split("\t", 2);
            users.put(fields[0], fields[1]);
        }
        // Kafka takes one change a user in a request.
        for (ScramMechanism mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
            ScramCredentialInfo info = new ScramCredentialInfo(mechanism, 4096);
            List<UserScramCredentialAlteration> credentials = new ArrayList<>();
            users.forEach((user, password) ->
                    credentials.add(new UserScramCredentialUpsertion(user, info, password)));
            admin.alterUserScramCredentials(credentials).all().get();
        }

        createTopic(admin, forbidden, 1, (short) Math.min(nodes, 3));
        // As soon as a topic has a rule, what no rule allows is denied: so allow everybody, then deny the one.
        ResourcePattern topic = new ResourcePattern(ResourceType.TOPIC, forbidden, PatternType.LITERAL);
        admin.createAcls(List.of(
                new AclBinding(topic, rule("*", AclPermissionType.ALLOW)),
                new AclBinding(topic, rule(outsider, AclPermissionType.DENY)))).all().get();

        // Users and rules reach each broker with the metadata log, a moment later: ask each broker by itself.
        for (String broker : saslSsl.split(",")) {
            for (String user : List.of("admin", outsider)) {
                until("user " + user + " is known to " + broker, () -> {
                    Properties secure = settings(broker);
                    secure.putAll(Map.of(
                            "security.protocol", "SASL_SSL",
                            "ssl.truststore.type", "PEM",
                            "ssl.truststore.location", ca,
                            "sasl.mechanism", "SCRAM-SHA-512",
                            "sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required"
                                    + " username=\"" + user + "\" password=\"" + users.get(user) + "\";"));
                    try (Admin asUser = Admin.create(secure)) {
                        Set<String> topics = asUser.listTopics().names().get(5, TimeUnit.SECONDS);
                        return topics.contains(forbidden) != user.equals(outsider);
                    }
                });
            }
        }
    }

    private static AccessControlEntry rule(String user, AclPermissionType permission) {
        return new AccessControlEntry("User:" + user, "*", AclOperation.ALL, permission);
    }

    private static void createTopic(Admin admin, String name, int partitions, short replication) throws Exception {
        admin.createTopics(List.of(new NewTopic(name, partitions, replication))).all().get();
        until("topic " + name + " has its leaders", () -> {
            List<TopicPartitionInfo> infos = describeTopic(admin, name).partitions();
            return infos.size() == partitions && infos.stream().allMatch(info -> info.leader() != null);
        });
    }

    private static void describe(Admin admin, String name) throws Exception {
        List<TopicPartitionInfo> infos = describeTopic(admin, name).partitions();
        Map<TopicPartition, Long> first = offsets(admin, name, infos, OffsetSpec.earliest());
        Map<TopicPartition, Long> next = offsets(admin, name, infos, OffsetSpec.latest());
        for (TopicPartitionInfo info : infos) {
            TopicPartition partition = new TopicPartition(name, info.partition());
            System.out.printf("partition=%d leader=%s replicas=%s isr=%s first=%d next=%d%n", info.partition(),
                    info.leader() == null ? "none" : info.leader().idString(), ids(info.replicas()), ids(info.isr()),
                    first.get(partition), next.get(partition));
        }
    }

    private static Map<TopicPartition, Long> offsets(Admin admin, String name, List<TopicPartitionInfo> infos,
                                                     OffsetSpec spec) throws Exception {
        Map<TopicPartition, OffsetSpec> question = infos.stream()
                .collect(Collectors.toMap(info -> new TopicPartition(name, info.partition()), info -> spec));
        Map<TopicPartition, Long> answer = new HashMap<>();
        admin.listOffsets(question).all().get().forEach((partition, found) -> answer.put(partition, found.offset()));
        return answer;
    }

    private static String ids(List<Node> nodes) {
        return nodes.stream().map(Node::idString).collect(Collectors.joining(","));
    }

    private static void configure(Admin admin, String name, List<String> settings) throws Exception {
        List<AlterConfigOp> changes = settings.stream().map(setting -> {
            String[] pair = setting.split("=", 2);
            return new AlterConfigOp(new ConfigEntry(pair[0], pair[1]), AlterConfigOp.OpType.SET);
        }).toList();
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, name);
        admin.incrementalAlterConfigs(Map.of(topic, changes)).all().get();
    }

    // Makes the node the first replica, adding it if need be, and lets the controller prefer it.
    private static void moveLeader(Admin admin, String name, int number, int node) throws Exception {
        TopicPartition partition = new TopicPartition(name, number);
        List<Integer> replicas = new ArrayList<>();
        partition(admin, name, number).replicas().forEach(replica -> replicas.add(replica.id()));
        if (!replicas.contains(node)) {
            replicas.remove(replicas.size() - 1);
        }
        replicas.remove(Integer.valueOf(node));
        replicas.add(0, node);
        admin.alterPartitionReassignments(
                Map.of(partition, Optional.of(new NewPartitionReassignment(replicas)))).all().get();
        until("node " + node + " has a copy of " + partition, () ->
                admin.listPartitionReassignments(Set.of(partition)).reassignments().get().isEmpty()
                        && partition(admin, name, number).isr().stream().anyMatch(replica -> replica.id() == node));
        until("node " + node + " leads " + partition, () -> {
            try {
                admin.electLeaders(ElectionType.PREFERRED, Set.of(partition)).all().get();
            } catch (ExecutionException refused) {
                if (!(refused.getCause() instanceof ElectionNotNeededException)) {
                    throw refused;
                }
            }
            Node leader = partition(admin, name, number).leader();
            return leader != null && leader.id() == node;
        });
    }

    private static void waitForNode(Admin admin, int node) throws Exception {
        until("node " + node + " answers", () ->
                admin.describeCluster().nodes().get().stream().anyMatch(known -> known.id() == node));
    }

    private static TopicDescription describeTopic(Admin admin, String name) throws Exception {
        return admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
    }

    private static TopicPartitionInfo partition(Admin admin, String name, int number) throws Exception {
        return describeTopic(admin, name).partitions().get(number);
    }

    private static int number(String text) {
        return Integer.parseInt(text);
    }

    private static void until(String what, Callable<Boolean> holds) throws Exception {
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        Exception last = null;
        while (System.currentTimeMillis() < deadline) {
            try {
                if (holds.call()) {
                    return;
                }
            } catch (Exception failure) {
                last = failure;
            }
            Thread.sleep(100);
        }
        throw new IllegalStateException("gave up waiting until " + what + (last == null ? "" : " (" + last + ")"));
    }

    private static Properties settings(String bootstrap) {
        Properties settings = new Properties();
        settings.putAll(Map.of(
                "bootstrap.servers", bootstrap,
                "reconnect.backoff.ms", "50",
                "reconnect.backoff.max.ms", "200",
                "retry.backoff.ms", "50",
                "request.timeout.ms", "5000",
                "default.api.timeout.ms", "20000"));
        return settings;
    }
}
