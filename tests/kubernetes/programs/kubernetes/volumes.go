package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Folders of one machine as volumes. The controller manager can make such, too, but only such as
// none but root may write to, and sessions are nobody special. Every node of the tests sees the same
// files, as with a file server.
type folders struct{ root string }

func (made folders) Provision(
	_ context.Context, asked controller.ProvisionOptions,
) (*core.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(made.root, asked.PVName)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// The umask took from it.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	kind := core.HostPathDirectory
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: asked.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *asked.StorageClass.ReclaimPolicy,
			AccessModes:                   asked.PVC.Spec.AccessModes,
			Capacity:                      asked.PVC.Spec.Resources.Requests,
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: path, Type: &kind},
			},
		},
	}, controller.ProvisioningFinished, nil
}

func (made folders) Delete(_ context.Context, volume *core.PersistentVolume) error {
	return os.RemoveAll(filepath.Join(made.root, volume.Name))
}

func volumesCommand() *cobra.Command {
	var kubeconfig, root, name string
	command := &cobra.Command{
		Use: "folder-volumes",
		RunE: func(*cobra.Command, []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			config.QPS, config.Burst = 50, 100
			clients, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			ctx := apiserver.SetupSignalContext()
			made := controller.NewProvisionController(
				ctx, clients, name, folders{root}, controller.LeaderElection(false),
			)
			made.Run(ctx)
			return fmt.Errorf("%s has ended", name)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how the cluster is reached")
	command.Flags().StringVar(&root, "root", "", "the folder that the volumes are in")
	command.Flags().StringVar(&name, "name", "", "what storage classes call it")
	return command
}
