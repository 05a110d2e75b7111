/* As consumer.c, with the models: loads an ONNX file and prints its classes. */
#include <prelu/model.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    prelu_err err = {0};
    prelu_model *model = NULL;
    if (argc < 2 || prelu_model_load(&model, argv[1], NULL, &err)) {
        fprintf(stderr, "%s: %s\n", prelu_status_text(err.code), err.text);
        return EXIT_FAILURE;
    }
    for (int i = 0; i < model->classes; i++)
        puts(model->labels[i].label);
    prelu_model_destroy(&model);
    return EXIT_SUCCESS;
}
