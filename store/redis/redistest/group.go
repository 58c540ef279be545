//go:build unix

package redistest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Group is several servers that belong together.
type Group struct {
	Servers   []*Server
	Sentinels []*Server // of StartSentinels
}

// MasterName is what Sentinels call the server.
const MasterName = "sentinel-test"

// Addresses are those of the Sentinels, or of the servers of a Redis Cluster.
func (g *Group) Addresses() string {
	list := g.Servers
	if len(g.Sentinels) > 0 {
		list = g.Sentinels
	}
	addresses := make([]string, len(list))
	for i, s := range list {
		addresses[i] = s.Addr()
	}
	return strings.Join(addresses, ",")
}

// Stop ends all.
func (g *Group) Stop() error {
	var errs []error
	for _, list := range [][]*Server{g.Sentinels, g.Servers} {
		for _, s := range list {
			errs = append(errs, s.Stop())
		}
	}
	return errors.Join(errs...)
}

// StartSentinels starts a server with a replica, and three Sentinels that watch them.
func StartSentinels(password string) (*Group, error) {
	g := &Group{}
	err := g.startSentinels(password)
	if err != nil {
		return nil, errors.Join(err, g.Stop())
	}
	return g, nil
}

func (g *Group) startSentinels(password string) error {
	master, err := Start(Options{Password: password})
	if err != nil {
		return err
	}
	g.Servers = append(g.Servers, master)
	replica, err := Start(Options{Password: password, Config: []string{"replicaof 127.0.0.1 " + strconv.Itoa(master.port)}})
	if err != nil {
		return err
	}
	g.Servers = append(g.Servers, replica)
	if err := g.await(replica, "info", "master_link_status:up"); err != nil {
		return err
	}
	for range 3 {
		s, err := prepare(Options{Config: []string{
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", MasterName, master.port),
			"sentinel down-after-milliseconds " + MasterName + " 1000", "sentinel failover-timeout " + MasterName + " 5000",
		}})
		if err != nil {
			return err
		}
		if password != "" {
			s.opts.Config = append(s.opts.Config, "sentinel auth-pass "+MasterName+" "+password)
		}
		s.role = "--sentinel"
		g.Sentinels = append(g.Sentinels, s)
		if err := s.Restart(); err != nil {
			return err
		}
	}
	for _, s := range g.Sentinels {
		if err := g.await(s, "info", "slaves=1,sentinels=3"); err != nil {
			return err
		}
	}
	return nil
}

// StartCluster starts a Redis Cluster of three masters.
func StartCluster() (*Group, error) {
	g := &Group{}
	err := g.startCluster()
	if err != nil {
		return nil, errors.Join(err, g.Stop())
	}
	return g, nil
}

func (g *Group) startCluster() error {
	const masters, slots = 3, 16384
	for i := range masters {
		s, err := Start(Options{Config: []string{"cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000"}})
		if err != nil {
			return err
		}
		g.Servers = append(g.Servers, s)
		args := []any{"cluster", "addslots"}
		for slot := i * slots / masters; slot < (i+1)*slots/masters; slot++ {
			args = append(args, slot)
		}
		if err := errors.Join(s.Do("cluster", "set-config-epoch", i+1), s.Do(args...)); err != nil {
			return err
		}
		if err := g.Servers[0].Do("cluster", "meet", "127.0.0.1", s.port); err != nil {
			return err
		}
	}
	for _, s := range g.Servers {
		if err := g.await(s, "cluster info", "cluster_state:ok"); err != nil {
			return err
		}
		if err := g.await(s, "cluster info", "cluster_known_nodes:3"); err != nil {
			return err
		}
	}
	return nil
}

// await waits until a command's answer has a text.
func (*Group) await(s *Server, command, text string) error {
	db := s.Connect()
	defer func() { _ = db.Close() }() // it has served
	var args []any
	for _, word := range strings.Fields(command) {
		args = append(args, word)
	}
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		answer, err := db.Do(ctx, args...).Text()
		cancel()
		if err == nil && strings.Contains(answer, text) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s says nothing of %q: %w\n%s\n%s", command, text, err, answer, s.Log())
		}
		time.Sleep(20 * time.Millisecond) // there is no channel to wait on
	}
}
