// Produces, consumes and consumes as a group with franz-go, and says what it read.
//
// Usage: franz BROKER TOPIC COUNT [CA USER PASSWORD]
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func main() {
	broker, topic := os.Args[1], os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	check(err)
	options := []kgo.Opt{kgo.SeedBrokers(broker)}
	if len(os.Args) > 4 {
		pem, err := os.ReadFile(os.Args[4])
		check(err)
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			log.Fatal("no certificate in ", os.Args[4])
		}
		options = append(options,
			kgo.DialTLSConfig(&tls.Config{RootCAs: roots}),
			kgo.SASL(scram.Auth{User: os.Args[5], Pass: os.Args[6]}.AsSha512Mechanism()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// Numbered, and in a transaction.
	producer, err := kgo.NewClient(with(options, kgo.TransactionalID("franz-"+topic), kgo.DefaultProduceTopic(topic))...)
	check(err)
	check(producer.BeginTransaction())
	for number := range count {
		producer.Produce(ctx, kgo.StringRecord(strconv.Itoa(number)), func(_ *kgo.Record, err error) { check(err) })
	}
	check(producer.Flush(ctx))
	check(producer.EndTransaction(ctx, kgo.TryCommit))
	producer.Close()

	alone, err := kgo.NewClient(with(options, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	check(err)
	fmt.Println("alone", read(ctx, alone, count))
	alone.Close()

	// Twice as the same group: the second time there is nothing left but what comes then.
	group := with(options, kgo.ConsumeTopics(topic), kgo.ConsumerGroup("franz-"+topic), kgo.DisableAutoCommit())
	first, err := kgo.NewClient(group...)
	check(err)
	fmt.Println("group", read(ctx, first, count))
	check(first.CommitUncommittedOffsets(ctx))
	first.Close()
	second, err := kgo.NewClient(with(group, kgo.DefaultProduceTopic(topic))...)
	check(err)
	check(second.ProduceSync(ctx, kgo.StringRecord(strconv.Itoa(count))).FirstErr())
	records := read(ctx, second, 1)
	check(second.CommitUncommittedOffsets(ctx))
	second.Close()
	fmt.Println("again", records)
}

// Never into the same memory, as append might.
func with(options []kgo.Opt, more ...kgo.Opt) []kgo.Opt { return slices.Concat(options, more) }

// Reads until there are so many records, each once; gives back their number and sum.
func read(ctx context.Context, client *kgo.Client, count int) string {
	seen := make(map[string]bool)
	sum := 0
	for len(seen) < count {
		fetches := client.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			if seen[string(record.Value)] {
				log.Fatal("twice: ", string(record.Value))
			}
			seen[string(record.Value)] = true
			number, err := strconv.Atoi(string(record.Value))
			check(err)
			sum += number
		})
	}
	return fmt.Sprint(len(seen), " ", sum)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
