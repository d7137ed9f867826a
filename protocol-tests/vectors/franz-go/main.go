// Writes the records of every shape to a topic with franz-go: ADDRESS TOPIC CODEC TRANSACTION(yes|no|abort).
package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	address, topic, codec, transaction := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(address), kgo.ProducerBatchCompression(codecs[codec]),
		kgo.ProducerLinger(200 * time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
	if transaction != "no" {
		options = append(options, kgo.TransactionalID(topic))
	}
	client, err := kgo.NewClient(options...)
	check(err)
	defer client.Close()
	ctx := context.Background()
	if transaction != "no" {
		check(client.BeginTransaction())
	}
	record := func(later int64, key, value []byte, headers ...kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{Topic: topic, Timestamp: time.UnixMilli(1_700_000_000_000 + later), Key: key, Value: value,
			Headers: headers}
	}
	check(client.ProduceSync(ctx,
		record(0, []byte("key"), []byte("value")),
		record(1, nil, []byte("null key")),
		record(2, []byte("null value"), nil),
		record(3, []byte{}, []byte{}),
		record(4, []byte("headers"), []byte("twice the same, one null, one that is no text"),
			kgo.RecordHeader{Key: "same", Value: []byte("1")}, kgo.RecordHeader{Key: "same", Value: []byte("2")},
			kgo.RecordHeader{Key: "null"}, kgo.RecordHeader{Key: "empty", Value: []byte{}},
			kgo.RecordHeader{Key: "bytes", Value: []byte{0xff, 0xfe, 0}}),
		record(-1000, []byte("earlier"), []byte(strings.Repeat("x", 3000))),
	).FirstErr())
	if transaction != "no" {
		check(client.EndTransaction(ctx, kgo.TransactionEndTry(transaction == "yes")))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
