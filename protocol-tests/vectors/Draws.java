// In this package for the sake of what Java's client shows nobody else.
package org.apache.kafka.clients.producer.internals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.apache.kafka.clients.producer.RoundRobinPartitioner;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.utils.LogContext;

/**
 * Prints where the Java client writes what no key decides about. A line is one of
 *
 *   draw 0 - 2 = 0 0 0 2        so many batches wait for each partition, - has no leader: what is drawn as the random
 *                               number goes through its range in equal steps
 *   keep 100 60 40+ 90 = 0 0 1  records of so many bytes are written, + leaves a batch open; batches have 100 bytes, and
 *                               of two partitions the first and the second are drawn in turn: where each record goes
 *   turn 1 - 1 = 0 2 0 2 0 2    round-robin, - has no leader: where each record goes
 */
public final class Draws {
    private static final String TOPIC = "topic";
    private static final Node NODE = new Node(0, "host", 9092);

    /** The built-in one, its chance replaced. */
    private static final class Chosen extends BuiltInPartitioner {
        int random = 0;
        int step = 0;

        Chosen(int batchBytes) {
            super(new LogContext(), TOPIC, batchBytes);
        }

        @Override
        int randomPartition() {
            int now = random;
            random += step;
            return now;
        }
    }

    public static void main(String[] arguments) {
        Random chance = new Random(794);
        for (int[] queues : new int[][] {{5}, {0, 0}, {0, 3, 1}, {0, -1, 1}, {-1, -1, 4}, {-1, 2, 2}, {-1, -1, -1}, {7, 7, 7}}) {
            draw(queues);
        }
        for (int i = 0; i < 60; i++) {
            draw(chance.ints(1 + chance.nextInt(8), -1, 6).toArray());
        }
        for (int i = 0; i < 40; i++) {
            keep(100, chance.ints(30, 1, i < 20 ? 60 : 250).toArray(), chance);
        }
        for (int i = 0; i < 20; i++) {
            turn(chance.ints(1 + chance.nextInt(7), -1, 2).map(one -> one < 0 ? -1 : 1).toArray());
        }
    }

    private static Cluster cluster(int[] queues) {
        List<PartitionInfo> partitions = new ArrayList<>();
        for (int i = 0; i < queues.length; i++) {
            Node[] replicas = {NODE};
            partitions.add(new PartitionInfo(TOPIC, i, queues[i] < 0 ? null : NODE, replicas, replicas));
        }
        return new Cluster("id", List.of(NODE), partitions, Set.of(), Set.of());
    }

    private static void draw(int[] queues) {
        // As RecordAccumulator.partitionReady gathers them.
        int[] sizes = new int[queues.length];
        int[] ids = new int[queues.length];
        int length = 0;
        for (int i = 0; i < queues.length; i++) {
            if (queues[i] >= 0) {
                sizes[length] = queues[i];
                ids[length++] = i;
            }
        }
        boolean even = queues.length < 2 || length < 1
                || length == queues.length && Arrays.stream(sizes).distinct().count() == 1;
        int range = even ? (length < 1 ? queues.length : length) : 0;
        List<Integer> drawn = new ArrayList<>();
        for (int random = 0; random == 0 || random < range; random++) {
            Chosen partitioner = new Chosen(100);
            partitioner.updatePartitionLoadStats(sizes.clone(), ids, length);
            if (!even) {
                range = partitioner.loadStatsRangeEnd();
            }
            partitioner.random = random;
            drawn.add(partitioner.peekCurrentPartitionInfo(cluster(queues)).partition());
        }
        print("draw " + words(queues), drawn);
    }

    private static void keep(int batchBytes, int[] records, Random chance) {
        Cluster cluster = cluster(new int[2]);
        Chosen partitioner = new Chosen(batchBytes);
        partitioner.step = 1;
        StringBuilder written = new StringBuilder();
        List<Integer> places = new ArrayList<>();
        for (int bytes : records) {
            boolean open = chance.nextInt(3) > 0;
            var current = partitioner.peekCurrentPartitionInfo(cluster);
            places.add(current.partition());
            partitioner.updatePartitionInfo(current, bytes, cluster, !open);
            written.append(' ').append(bytes).append(open ? "+" : "");
        }
        print("keep " + batchBytes + written, places);
    }

    private static void turn(int[] queues) {
        Cluster cluster = cluster(queues);
        List<Integer> places = new ArrayList<>();
        try (RoundRobinPartitioner partitioner = new RoundRobinPartitioner()) {
            for (int i = 0; i < 2 * queues.length; i++) {
                places.add(partitioner.partition(TOPIC, null, null, null, null, cluster));
            }
        }
        print("turn " + words(queues), places);
    }

    private static String words(int[] queues) {
        return String.join(" ", Arrays.stream(queues).mapToObj(one -> one < 0 ? "-" : "" + one).toList());
    }

    private static void print(String asked, List<Integer> places) {
        System.out.println(asked + " = " + String.join(" ", places.stream().map(String::valueOf).toList()));
    }
}
