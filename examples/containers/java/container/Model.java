package container;

import ai.clipper.v1.InputType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The model, which is what to replace by one's own: the label of the nearest of the centroids that train.py wrote. */
final class Model {
    static final InputType INPUT_TYPE = InputType.INPUT_TYPE_FLOATS;
    static final String INPUT_TYPE_NAME = "floats";

    private record Centroid(String label, double[] position) {
        double squaredDistance(float[] input) {
            double sum = 0;
            for (int i = 0; i < input.length; i++) {
                sum += (input[i] - position[i]) * (input[i] - position[i]);
            }
            return sum;
        }
    }

    private final List<Centroid> centroids = new ArrayList<>();

    /** Reads centroids.csv in a directory: a line for each, its label and then its position. */
    Model(Path directory) throws IOException {
        for (String line : Files.readAllLines(directory.resolve("centroids.csv"))) {
            String[] cells = line.split(",");
            double[] position = Arrays.stream(cells).skip(1).mapToDouble(Double::parseDouble).toArray();
            centroids.add(new Centroid(cells[0], position));
        }
    }

    /** The output for one input, on any number of threads at a time; what it throws is this input's failure alone. */
    String predict(float[] input) {
        int taken = centroids.get(0).position.length;
        if (input.length != taken) {
            throw new IllegalArgumentException("The model takes " + taken + " numbers, not " + input.length);
        }
        Centroid nearest = centroids.get(0);
        for (Centroid centroid : centroids) {
            nearest = centroid.squaredDistance(input) < nearest.squaredDistance(input) ? centroid : nearest;
        }
        return nearest.label;
    }
}
