package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reads a topic from its beginning, as ../clients/src/consume does.
func consume(broker, topic string, wanted int) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(err)
	records, bytes, sum := 0, 0, 0
	for records < wanted {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		fetches := client.PollFetches(ctx)
		cancel()
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			for _, part := range [][]byte{record.Key, record.Value} {
				if len(part) > 0 {
					bytes += len(part)
					sum += int(part[len(part)-1])
				}
			}
			records++
		})
	}
	if sum == 0 {
		log.Fatal("nothing but zeros")
	}
	fmt.Println(records, bytes)
}
